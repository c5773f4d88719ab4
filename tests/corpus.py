#!/usr/bin/env python3
"""Images, legal and illegal, and what `launcher unpack` makes of them.

takes: LAUNCHER  [COMMAND...] that runs it (prlimit, for one)
gives: TAP. A legal image becomes the tree that is written next to it; an illegal one becomes
       nothing, for the reason written next to it. Either way all around it stays as it was.
environment: EVERY  leaves out most cuts and flipped bits: 7 takes one of seven (1)
"""
import gzip
import hashlib
import io
import lzma
import os
import re
import stat
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib

LIMIT = 20  # seconds for one image
EVERY = int(os.environ.get('EVERY', '1'))  # of the places to cut and the bits to flip, one of so many

# ---- LZ4 frames ----------------------------------------------------------------------------------


def xxh32(data):
    p1, p2, p3, p4, p5 = 2654435761, 2246822519, 3266489917, 668265263, 374761393
    mask = 0xFFFFFFFF

    def rotl(x, r):
        return (x << r | x >> (32 - r)) & mask

    n, at = len(data), 0
    if n >= 16:
        v = [(p1 + p2) & mask, p2, 0, -p1 & mask]
        at = n // 16 * 16
        for k in range(4):  # the four lanes do not meet before the end
            h = v[k]
            for word in struct.unpack('<%dI' % (at // 4), data[:at])[k::4]:
                h = h + word * p2 & mask
                h = (h << 13 | h >> 19) * p1 & mask
            v[k] = h
        h = rotl(v[0], 1) + rotl(v[1], 7) + rotl(v[2], 12) + rotl(v[3], 18)
    else:
        h = p5
    h = (h + n) & mask
    for i in range(at, n - 3, 4):
        h = rotl((h + struct.unpack_from('<I', data, i)[0] * p3) & mask, 17) * p4 & mask
        at = i + 4
    for byte in data[at:]:
        h = rotl((h + byte * p5) & mask, 11) * p1 & mask
    h = (h ^ h >> 15) * p2 & mask
    h = (h ^ h >> 13) * p3 & mask
    return h ^ h >> 16


def le32(n):
    return struct.pack('<I', n & 0xFFFFFFFF)


END_MARK = le32(0)


def stored(data, checksum=False, bad=0):
    """A block that is not compressed."""
    return le32(len(data) | 1 << 31) + data + (le32(xxh32(data) ^ bad) if checksum else b'')


def block(data):
    """A block of LZ4 sequences, as they are."""
    return le32(len(data)) + data


def header(flg=0x60, bd=0x40, size=None, dictionary=None, bad=0):
    """Version 1, independent blocks of 64 KiB at most, no checksum."""
    flg |= (8 if size is not None else 0) | (1 if dictionary is not None else 0)
    h = bytes([flg, bd])
    if size is not None:
        h += struct.pack('<Q', size)
    if dictionary is not None:
        h += le32(dictionary)
    return le32(0x184D2204) + h + bytes([xxh32(h) >> 8 & 0xFF ^ bad])


def frame(data, flg=0x64, bd=0x40, size=None, step=65536, bad_content=0, bad_block=0, **kw):
    """A frame with a content checksum, of blocks that are not compressed."""
    out = header(flg, bd, size, **kw)
    for at in range(0, len(data), step):
        out += stored(data[at:at + step], flg & 0x10, bad_block)
    return out + END_MARK + (le32(xxh32(data) ^ bad_content) if flg & 4 else b'')


def skippable(data=b'anything', magic=0x184D2A50):
    return le32(magic) + le32(len(data)) + data


def literals(data):
    """An LZ4 block of one sequence that is all literals."""
    n, out = len(data), b''
    if n < 15:
        return bytes([n << 4]) + data
    n -= 15
    while n >= 255:
        out, n = out + b'\xff', n - 255
    return b'\xf0' + out + bytes([n]) + data


def legacy(data, step=8 << 20):
    out = le32(0x184C2102)
    for at in range(0, len(data), step):
        out += block(literals(data[at:at + step]))
    return out


def lz4(options, data):
    return subprocess.run(['lz4', '-q', '-c'] + options.split(), input=data, stdout=subprocess.PIPE, check=True).stdout


# ---- tar -----------------------------------------------------------------------------------------

TIME = 1000  # of every entry that says nothing else
USTAR, GNU, V7 = b'ustar\x0000', b'ustar  \0', b'\0' * 8


def entry(name, kind='0', data=b'', mode=0o644, uid=0, gid=0, size=None, mtime=TIME, link=b'', magic=USTAR,
          prefix=b'', checksum=None, signed=False):
    """One entry. A number that is given as bytes is the field itself."""
    def field(n, width):
        return n if isinstance(n, bytes) else b'%0*o\0' % (width - 1, n)

    def text(s):
        return s if isinstance(s, bytes) else s.encode()

    h = bytearray(512)
    size = len(data) if size is None else size
    for at, width, value in ((0, 100, text(name)), (100, 8, field(mode, 8)), (108, 8, field(uid, 8)),
                             (116, 8, field(gid, 8)), (124, 12, field(size, 12)), (136, 12, field(mtime, 12)),
                             (148, 8, b' ' * 8), (156, 1, text(kind)), (157, 100, text(link)), (257, 8, magic),
                             (345, 155, text(prefix))):
        assert len(value) <= width, (name, at, value)
        h[at:at + len(value)] = value
    total = sum(b - 256 if signed and b > 127 else b for b in h)
    h[148:156] = b'%06o\0 ' % total if checksum is None else checksum
    return bytes(h) + data + b'\0' * (-len(data) % 512)


def file(name, data=b'', **kw):
    return entry(name, '0', data if isinstance(data, bytes) else data.encode(), **kw)


def folder(name, mode=0o755, **kw):
    return entry(name, '5', mode=mode, **kw)


def symlink(name, to, **kw):
    return entry(name, '2', link=to, mode=0o777, **kw)


def hard(name, to, **kw):
    return entry(name, '1', link=to, **kw)


def fifo(name, **kw):
    return entry(name, '6', **kw)


def record(key, value):
    """A record of an extended header: its length counts itself."""
    rest = b' ' + (key if isinstance(key, bytes) else key.encode()) + b'=' + \
        (value if isinstance(value, bytes) else str(value).encode()) + b'\n'
    n = len(rest) + 1
    while len(b'%d' % n) + len(rest) != n:
        n += 1
    return b'%d' % n + rest


def pax(*records, kind='x', **kw):
    return entry('PaxHeader', kind, b''.join(records), **kw)


def long_name(name, kind='L', **kw):
    return entry('././@LongLink', kind, (name if isinstance(name, bytes) else name.encode()) + b'\0', magic=GNU, **kw)


def tar(*entries):
    return b''.join(entries) + b'\0' * 1024


def image(*entries):
    data = tar(*entries)
    return frame(data) if len(data) < 1 << 20 else lz4('-B4 -BD', data)


def base256(n, width):
    return (n & (1 << 8 * width) - 1 | 1 << 8 * width - 1).to_bytes(width, 'big')


# ---- trees ---------------------------------------------------------------------------------------


def show(data):
    if len(data) <= 40 and all(32 <= b < 127 for b in data):
        return data.decode()
    return '%d bytes, crc %08x' % (len(data), zlib.crc32(data))


def owner(st):
    return '' if st.st_uid == st.st_gid == 0 else ' #%d:%d' % (st.st_uid, st.st_gid)


def remove(path):
    """Deeper than shutil goes."""
    subprocess.run(['rm', '-rf', path], check=True)


def listing(root):
    """Lines such as `f 644 a/b its content`. A time that is not TIME follows as @, a recent one as @now."""
    lines, seen, todo = [], {}, [b'']
    now = os.stat(root).st_ctime
    while todo:
        path = todo.pop()
        full = os.path.join(os.fsencode(root), path)
        st = os.lstat(full)
        name = path.decode('utf-8', 'backslashreplace').replace('\n', '\\n').replace('\033', '\\e') or '.'
        time = '' if st.st_mtime_ns == TIME * 10**9 else ' @now' if abs(st.st_mtime - now) < 100 else \
            ' @%d' % (st.st_mtime_ns // 10**9) + ('.%09d' % (st.st_mtime_ns % 10**9)).rstrip('0').rstrip('.')
        for key in sorted(os.listxattr(full, follow_symlinks=False)):
            time += ' %s=%s' % (key, show(os.getxattr(full, key, follow_symlinks=False)))
        mode = '%o' % stat.S_IMODE(st.st_mode)
        if not stat.S_ISDIR(st.st_mode) and st.st_nlink > 1 and (st.st_dev, st.st_ino) in seen:
            lines.append('h %s = %s' % (name, seen[st.st_dev, st.st_ino]))
            continue
        seen[st.st_dev, st.st_ino] = name
        if stat.S_ISDIR(st.st_mode):
            lines.append('d %s %s%s%s' % (mode, name, owner(st), time))
            todo += sorted((os.path.join(path, n) for n in os.listdir(full)), reverse=True)
        elif stat.S_ISLNK(st.st_mode):
            lines.append('l %s -> %s%s%s' % (name, show(os.readlink(full)), owner(st), time))
        elif stat.S_ISFIFO(st.st_mode):
            lines.append('p %s %s%s%s' % (mode, name, owner(st), time))
        elif stat.S_ISREG(st.st_mode):
            with open(full, 'rb') as f:
                content = show(f.read())
            lines.append(('f %s %s %s' % (mode, name, content)).rstrip() + owner(st) + time)
        else:
            lines.append('? %o %s' % (st.st_mode, name))
    if lines[0] == 'd 755 . @now':
        del lines[0]  # the root that no entry has spoken of
    return lines


# ---- one image -----------------------------------------------------------------------------------

launcher = os.path.abspath(sys.argv[1])
command = sys.argv[2:] + [launcher]
count = failed = 0


def result(good, what, *notes):
    global count, failed
    count += 1
    failed += not good
    print('%sok %d - %s' % ('' if good else 'not ', count, what))
    for note in () if good else notes:
        for line in str(note).split('\n'):
            print('# ' + line)
    sys.stdout.flush()


def snapshot(path):
    """Everything about the canary but its access time, and what else is around."""
    out = [(n, os.path.isdir(n)) for n in sorted(os.listdir('.')) if n != 'out']
    for name in [path] + [os.path.join(path, n) for n in sorted(os.listdir(path))]:
        st = os.lstat(name)
        out.append((name, st.st_mode, st.st_uid, st.st_gid, st.st_nlink, st.st_size, st.st_mtime_ns, st.st_ctime_ns,
                    os.listxattr(name, follow_symlinks=False)))
        if stat.S_ISREG(st.st_mode):
            with open(name, 'rb') as f:
                out.append(f.read())
    return out


def unpack(data):
    """Exit status, what was said, the tree or None, and what else went wrong."""
    with open('x.img', 'wb') as f:
        f.write(data)
    before, wrong = snapshot('canary'), []
    try:
        p = subprocess.run(command + ['unpack', 'x.img', 'out'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=LIMIT)
        status, said = p.returncode, p.stderr
        if p.stdout:
            wrong.append('it writes to stdout: %r' % p.stdout)
    except subprocess.TimeoutExpired:
        status, said = 'none', b''
        wrong.append('not done after %d s' % LIMIT)
    tree = None
    if os.path.lexists('out'):
        tree = listing('out')
        remove('out')
    if snapshot('canary') != before:
        wrong.append('what is around has changed: %s' % snapshot('canary'))
        remove('out.partial')
    return status, said, tree, wrong


def legal(what, data, expected, said=b''):
    status, words, tree, wrong = unpack(data)
    want = [line.strip() for line in expected.strip().split('\n') if line.strip()]
    good = status == 0 and tree is not None and sorted(tree) == sorted(want) and re.search(said, words) and not wrong
    good = good and words.count(b'\n') == (1 if said else 0)
    result(good, 'legal: ' + what, 'exit status %s: %r' % (status, words), *wrong,
           'missing: %s' % sorted(set(want) - set(tree or [])), 'unexpected: %s' % sorted(set(tree or []) - set(want)))


def refusal(data, reason):
    """What is wrong with how it is refused: a list, empty if nothing is."""
    status, said, tree, wrong = unpack(data)
    if status != 1:
        wrong.append('exit status %s' % status)
    if tree is not None:
        wrong.append('there is a tree: %s' % tree)
    if not re.fullmatch(rb'launcher: x\.img: [^\n\0-\037]+\n', said) or not re.search(reason.encode(), said):
        wrong.append('it says %r, not %r' % (said, reason))
    return wrong


def refused(what, data, reason):
    wrong = refusal(data, reason)
    result(not wrong, 'refused: ' + what, *wrong)


def all_refused(what, images, reason):
    """Many of a kind as one test: pairs of a label and the bytes."""
    wrong = ['%s: %s' % (label, w) for label, data in images for w in refusal(data, reason)]
    result(not wrong, 'refused: ' + what, *wrong[:10])


# ---- legal frames --------------------------------------------------------------------------------

NOISE = b''.join(hashlib.sha256(b'%d' % i).digest() for i in range(6000))  # 192,000 bytes that do not shrink
TEXT = b''.join(b'line %d of a text that shrinks well\n' % i for i in range(20000))
MIXED = tar(folder('d'), file('d/noise', NOISE), file('d/text', TEXT), file('d/both', NOISE[:70000] + TEXT + NOISE),
            file('zeros', b'\0' * 3000000))
MIXED_TREE = '\n'.join(['d 755 d', 'f 644 d/noise ' + show(NOISE), 'f 644 d/text ' + show(TEXT),
                        'f 644 d/both ' + show(NOISE[:70000] + TEXT + NOISE), 'f 644 zeros ' + show(b'\0' * 3000000)])
SMALL = tar(file('a', 'some words'), folder('d'), file('d/b', 'more'))
SMALL_TREE = 'f 644 a some words\n d 755 d\n f 644 d/b more'


def legal_frames():
    for options in ('-B4', '-B5', '-B6', '-B7', '-B4 -BD', '-B5 -BD', '-B6 -BD', '-B7 -BD', '-B4 -BI', '-BX', '-BX -BD',
                    '-B7 -BX -BD', '--no-frame-crc', '--no-frame-crc -BD', '--content-size', '-12 -B4 -BD --content-size',
                    '-12', '--fast=9', '-l', '-l -9', '-B32 -BD', '-B100 -BX'):
        packed = lz4('--no-content-size ' + options if '-size' not in options else options, MIXED)
        legal('lz4 ' + options, packed, MIXED_TREE)
    legal('stored blocks', frame(MIXED), MIXED_TREE)
    legal('stored blocks of 4 MiB', frame(MIXED, bd=0x70, step=4 << 20), MIXED_TREE)
    legal('tiny blocks', frame(SMALL, step=1), SMALL_TREE)
    legal('tiny blocks with checksums, linked', frame(SMALL, 0x54, step=7), SMALL_TREE)
    legal('no checksum at all', frame(SMALL, 0x60), SMALL_TREE)
    legal('content size', frame(SMALL, size=len(SMALL)), SMALL_TREE)
    legal('blocks of literals', header() + block(literals(SMALL)) + END_MARK, SMALL_TREE)
    legal('a frame for every 100 bytes', b''.join(frame(SMALL[i:i + 100]) for i in range(0, len(SMALL), 100)), SMALL_TREE)
    legal('frames of different kinds', frame(SMALL[:700]) + lz4('-BD', SMALL[700:900]) + legacy(SMALL[900:1500]) +
          frame(SMALL[1500:], 0x74, 0x70, len(SMALL) - 1500), SMALL_TREE)
    legal('a frame in front that is empty', frame(b'') + frame(SMALL), SMALL_TREE)
    legal('an empty frame in the middle', frame(SMALL[:600]) + frame(b'', size=0) + frame(SMALL[600:]), SMALL_TREE)
    legal('an empty frame behind', frame(SMALL) + frame(b'', 0x60), SMALL_TREE)
    legal('a skippable frame in front', skippable() + frame(SMALL), SMALL_TREE)
    legal('a large skippable frame in front', skippable(NOISE * 3) + frame(SMALL), SMALL_TREE)
    legal('all kinds of skippable frames, between and behind', frame(SMALL[:512]) +
          b''.join(skippable(b'x' * i, 0x184D2A50 + i) for i in range(16)) + frame(SMALL[512:]) + skippable(b''), SMALL_TREE)
    legal('legacy, one block', legacy(SMALL), SMALL_TREE)
    legal('legacy, blocks of 8 MiB', lz4('-l', MIXED), MIXED_TREE)
    legal('legacy, two frames', legacy(SMALL[:1024]) + legacy(SMALL[1024:]), SMALL_TREE)
    legal('legacy, then standard', legacy(SMALL[:1024]) + frame(SMALL[1024:]), SMALL_TREE)
    legal('legacy, then skippable', legacy(SMALL) + skippable(), SMALL_TREE)
    legal('200,000 skippable frames', skippable(b'') * 200000 + frame(SMALL), SMALL_TREE)
    legal('100,000 empty frames', frame(b'', 0x60) * 100000 + frame(SMALL), SMALL_TREE)


def refused_frames():
    not_lz4 = 'not an LZ4 image'
    refused('nothing', b'', 'empty')
    refused('one byte', b'\x04', not_lz4)
    refused('noise', NOISE[:4096], not_lz4)
    refused('zeros', b'\0' * 4096, not_lz4)
    refused('erased flash', b'\xff' * 4096, not_lz4)
    refused('a bare tar', SMALL, not_lz4)
    refused('gzip', gzip.compress(SMALL), not_lz4)
    refused('xz', lzma.compress(SMALL), not_lz4)
    refused('zstd', b'\x28\xb5\x2f\xfd' + NOISE[:100], not_lz4)
    refused('squashfs', b'hsqs' + NOISE[:100], not_lz4)
    refused('cpio', b'070701' + b'0' * 104, not_lz4)
    with open(launcher, 'rb') as f:
        refused('an ELF file', f.read(), not_lz4)
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, 'w') as z:
        z.writestr('a', 'b')
    refused('zip', zipped.getvalue(), not_lz4)

    # Every field is in these, and in few bytes.
    for label, whole in (('with all checksums', lz4('-BX --content-size', SMALL)),
                         ('of two blocks, without checksums', header() + block(literals(SMALL[:1500])) + stored(SMALL[1500:])
                          + END_MARK),
                         ('legacy', legacy(SMALL, 1000)), ('behind a skippable frame', skippable(b'xyz') + frame(SMALL))):
        step = 1 if len(whole) < 600 else 37
        cuts = set(range(0, len(whole), step)) | set(range(min(40, len(whole)))) | set(range(len(whole) - 20, len(whole)))
        # Where the last block of a legacy frame is lost, only the archive can tell.
        all_refused('an image %s, cut at each place' % label, [('at %d' % n, whole[:n]) for n in sorted(cuts)[::EVERY]],
                    'cut short|empty|not an LZ4 image|what follows is no LZ4 frame')
    whole = lz4('-BX --content-size', SMALL)
    all_refused('an image with all checksums, each bit flipped',
                [('bit %d' % i, whole[:i // 8] + bytes([whole[i // 8] ^ 1 << i % 8]) + whole[i // 8 + 1:])
                 for i in range(0, len(whole) * 8, 3 * EVERY)], '.')

    refused('a wrong header checksum', frame(SMALL, bad=1), 'checksum of a frame header')
    refused('a wrong block checksum', frame(SMALL, 0x74, bad_block=1), 'checksum of a block')
    refused('a wrong content checksum', frame(SMALL, bad_content=1), 'checksum of a frame does')
    for version in 0, 2, 3:
        refused('version %d' % version, frame(SMALL, version << 6 | 0x24), 'unknown kind')
    refused('the reserved bit of FLG', frame(SMALL, 0x66), 'unknown kind')
    for bd in 0x00, 0x10, 0x20, 0x30, 0xC0, 0x41, 0x48:
        refused('BD 0x%02x' % bd, frame(SMALL, bd=bd), 'unknown kind')
    refused('a dictionary', frame(SMALL, dictionary=1), 'dictionary')
    for size in len(SMALL) + 1, 2**63, 2**64 - 1:
        refused('a content size of %d, too large' % size, frame(SMALL, size=size), 'not as long as')
    for size in len(SMALL) - 1, 0:
        refused('a content size of %d, too small' % size, frame(SMALL, size=size), 'longer than')
    large = frame(b'\0' * 65537, 0x60, step=65537)
    refused('a stored block of 64 KiB and 1', large, 'block')
    refused('a block of 2 GiB', header() + le32(0x7FFFFFFF) + SMALL, 'block')
    refused('a stored block of 2 GiB', header() + le32(0xFFFFFFFF) + SMALL, 'block')
    refused('a legacy block of 2 GiB', le32(0x184C2102) + le32(0x7FFFFFFF) + SMALL, 'block')
    refused('an empty block, stored', header() + le32(1 << 31) + END_MARK, '.')
    match = 'a block does not decode'
    refused('a block that grows past its maximum', header() + block(b'\x1f\0\x01\0' + b'\xff' * 300 + b'\0\x50' + b'x' * 5)
            + END_MARK, match)
    # The decoder lets offset 0 pass, with what the buffer held before: harmless, and then no archive.
    refused('a match at offset 0', header() + block(b'\x14a\0\0\x50xxxxx') + END_MARK, match + '|cut short')
    refused('a match before the start', header() + block(b'\x14a\x02\0\x50xxxxx') + END_MARK, match)
    refused('a match into the block before, of independent ones',
            header() + stored(file('a', b'x' * 600)[:512]) + block(b'\x14a\x09\0\x50xxxxx') + END_MARK, match)
    refused('a length that does not end', header() + block(b'\xf0' + b'\xff' * 1000) + END_MARK, match)
    refused('literals past the end', header() + block(b'\xf0\x40abc') + END_MARK, match)
    refused('a match as the end', header() + block(b'\x14a\x01\0') + END_MARK, match)
    refused('garbage behind', frame(SMALL) + b'garbage', 'what follows')
    refused('zeros behind', frame(SMALL) + b'\0' * 512, 'what follows')
    refused('erased flash behind', frame(SMALL) + b'\xff' * 512, 'what follows')
    refused('one byte behind', frame(SMALL) + b'\x04', 'what follows')
    refused('a broken frame behind', frame(SMALL) + frame(b'', bad=1), 'checksum of a frame header')
    refused('a second image behind', frame(SMALL) + frame(SMALL), 'follow the end')
    refused('a skippable frame that is too long', frame(SMALL) + le32(0x184D2A50) + le32(0xFFFFFFFF), 'skippable')
    refused('only a skippable frame', skippable(), 'archive is cut short')
    refused('only an empty frame', frame(b''), 'archive is cut short')


# ---- legal archives ------------------------------------------------------------------------------


def legal_archives():
    legal('an empty archive', image(), '')
    legal('a file', image(file('a', 'x')), 'f 644 a x')
    legal('a file without data', image(file('a')), 'f 644 a')
    for n in 511, 512, 513, 65535, 65536, 1 << 20:
        data = (NOISE * 6)[:n]
        legal('a file of %d bytes' % n, image(file('a', data), file('b', 'x')), 'f 644 a %s\n f 644 b x' % show(data))
    legal('modes', image(file('a', mode=0o4755), file('b', mode=0o0), folder('t', 0o1777), file('c', mode=0o100600)),
          'f 4755 a\n f 0 b\n d 1777 t\n f 600 c')
    legal('directories of mode 000 with entries', image(folder('a', 0), folder('a/b', 0), file('a/b/c', 'x', mode=0)),
          'd 0 a\n d 0 a/b\n f 0 a/b/c x')
    legal('owners', image(file('a', uid=1, gid=2), folder('d', uid=65534, gid=65534), symlink('l', 'x', uid=5, gid=6)),
          'f 644 a #1:2\n d 755 d #65534:65534\n l l -> x #5:6')
    legal('the root itself', image(folder('./', 0o700, mtime=5), file('./a', 'x')), 'd 700 . @5\n f 644 a x')
    legal('the time of a directory, entries after it', image(folder('d', mtime=7), file('d/a'), folder('d/e', mtime=8),
          file('d/e/b'), file('d/c')), 'd 755 d @7\n f 644 d/a\n d 755 d/e @8\n f 644 d/e/b\n f 644 d/c')
    legal('the time of a directory, entries before it', image(file('d/a'), folder('d', mtime=7)), 'd 755 d @7\n f 644 d/a')
    legal('directories that are not named', image(file('a/b/c', 'x')), 'd 755 a @now\n d 755 a/b @now\n f 644 a/b/c x')
    legal('names with ./, // and / in front', image(file('./a'), file('/b'), file('d//./e'), folder('f/')),
          'f 644 a\n f 644 b\n d 755 d @now\n f 644 d/e\n d 755 f')
    legal('types NUL, 0 and 7', image(entry('a', '\0', b'x'), entry('b', '0', b'y'), entry('c', '7', b'z')),
          'f 644 a x\n f 644 b y\n f 644 c z')
    legal('V7: no magic, a directory by its slash', image(entry('d/', '\0', mode=0o755, magic=V7),
          entry('d/a', '\0', b'x', magic=V7)), 'd 755 d\n f 644 d/a x')
    legal('a prefix', image(file('b', 'x', prefix='d/a')), 'd 755 d @now\n d 755 d/a @now\n f 644 d/a/b x')
    legal('a prefix and a name, both full', image(file('n' * 100, 'x', prefix='p' * 155)),
          'd 755 %s @now\n f 644 %s x' % ('p' * 155, 'p' * 155 + '/' + 'n' * 100))
    legal('GNU: times where the prefix was', image(file('a', 'x', magic=GNU, prefix='12345670123')), 'f 644 a x')
    legal('a name of 100 bytes', image(file('n' * 100)), 'f 644 ' + 'n' * 100)
    legal('a checksum of signed bytes', image(file(b'\xc3\xa4\xc3\xb6', signed=True)), 'f 644 \u00e4\u00f6')
    legal('a checksum without an end', image(entry('a', checksum=None)), 'f 644 a')
    legal('strange names', image(file('a\nb'), file('\033[31m'), file(b'\xff\xfe'), file('%n%s'), file('-rf'), file(' '),
          file('...'), file('a\\b')), 'f 644 a\\nb\n f 644 \\e[31m\n f 644 \\xff\\xfe\n f 644 %n%s\n f 644 -rf\n f 644\n'
          'f 644 ...\n f 644 a\\b')
    legal('links', image(symlink('a', 'b'), symlink('c', '/etc/passwd'), symlink('d', '../../x'), symlink('e', 'e')),
          'l a -> b\n l c -> /etc/passwd\n l d -> ../../x\n l e -> e')
    legal('a hard link', image(file('a', 'x'), hard('b', 'a')), 'f 644 a x\n h b = a')
    legal('hard links across directories', image(file('d/a', 'x'), hard('e/b', './d/a'), hard('c', '/d/a')),
          'f 644 c x\n d 755 d @now\n h d/a = c\n d 755 e @now\n h e/b = c')
    legal('a hard link to itself', image(file('a', 'x'), hard('a', 'a')), 'f 644 a x')
    legal('a hard link twice', image(file('a', 'x'), hard('b', 'a'), hard('b', 'a')), 'f 644 a x\n h b = a')
    legal('a hard link to a link', image(symlink('a', 'x'), hard('b', 'a')), 'l a -> x\n h b = a')
    legal('a FIFO', image(fifo('p', mode=0o640)), 'p 640 p')
    legal('device nodes, which are left out', image(entry('n', '3', mode=0o666), entry('d/b', '4'), file('a', 'x')),
          'd 755 d @now\n f 644 a x', rb'2 device nodes')
    legal('a whiteout, a node as well', image(entry('n', '3')), '', rb'device node')

    legal('the same name twice', image(file('a', 'old'), file('a', 'new', mode=0o600)), 'f 600 a new')
    legal('the same name 1000 times', image(*[file('a', '%d' % i) for i in range(1000)]), 'f 644 a 999')
    legal('a directory twice', image(folder('d', 0o700), file('d/a', 'x'), folder('d', 0o711)), 'd 711 d\n f 644 d/a x')
    legal('a file that becomes a directory', image(file('a', 'x'), folder('a'), file('a/b')), 'd 755 a\n f 644 a/b')
    legal('an empty directory that becomes a file', image(folder('a'), file('a', 'x')), 'f 644 a x')
    legal('a link that becomes a file', image(file('b', 'old'), symlink('a', 'b'), file('a', 'new')),
          'f 644 a new\n f 644 b old')
    legal('a link that becomes a directory', image(folder('b', 0o700), symlink('a', 'b'), folder('a'), file('a/c')),
          'd 755 a\n f 644 a/c\n d 700 b')
    legal('a file that becomes a link', image(file('a', 'x'), symlink('a', 'b')), 'l a -> b')
    legal('a FIFO that becomes a file', image(fifo('a'), file('a', 'x')), 'f 644 a x')
    legal('a file that becomes a FIFO', image(file('a', 'x'), fifo('a')), 'p 644 a')
    legal('a hard link that becomes a file leaves the other', image(file('a', 'old'), hard('b', 'a'), file('b', 'new')),
          'f 644 a old\n f 644 b new')
    legal('a file that becomes a hard link', image(file('a', 'x'), file('b', 'y'), hard('b', 'a')), 'f 644 a x\n h b = a')
    legal('a link to the canary that becomes a file', image(symlink('a', '../canary/f'), file('a', 'x')), 'f 644 a x')
    legal('a link to the canary that becomes a directory', image(symlink('a', '../canary'), folder('a', 0o700)), 'd 700 a')
    legal('a link to the canary, its owner and time', image(symlink('a', '../canary', uid=1, gid=1, mtime=5)),
          'l a -> ../canary #1:1 @5')

    legal('numbers in base 256', image(file('a', 'x', uid=base256(3000000, 8), gid=base256(4, 8), mtime=base256(2**33, 12),
          size=base256(1, 12))), 'f 644 a x #3000000:4 @8589934592')
    legal('a time before 1970', image(file('a', mtime=base256(-86400, 12))), 'f 644 a @-86400')
    legal('numbers with blanks', image(file('a', 'x', mode=b'   644 \0', uid=b'     0 \0', size=b'          1 ')), 'f 644 a x')
    legal('numbers that are empty', image(file('a', mode=b' 644\0', uid=b'\0', gid=b' ' * 8, mtime=b'\0')), 'f 644 a @0')

    long = 'd/' + 'n' * 250
    legal('PAX: a long path', image(pax(record('path', long)), file('short', 'x')), 'd 755 d @now\n f 644 %s x' % long)
    legal('PAX: a long link', image(pax(record('linkpath', 'y/' * 200)), symlink('l', 'short')), 'l l -> ' +
          show(b'y/' * 200))
    legal('PAX: a long hard link', image(pax(record('path', long)), file('s', 'x'), pax(record('linkpath', long)),
          hard('z', 's')), 'd 755 d @now\n f 644 %s x\n h z = %s' % (long, long))
    legal('PAX: times', image(pax(record('mtime', '1.5')), file('a'), pax(record('mtime', '-1.25')), file('b'),
          pax(record('mtime', '3.123456789123')), file('c'), pax(record('mtime', '4.')), file('d')),
          'f 644 a @1.5\n f 644 b @-2.75\n f 644 c @3.123456789\n f 644 d @4')
    legal('PAX: owners', image(pax(record('uid', 4000000000), record('gid', 7)), file('a')), 'f 644 a #4000000000:7')
    legal('PAX: a size, none in the header', image(pax(record('size', 3)), entry('a', data=b'xyz', size=0)), 'f 644 a xyz')
    legal('PAX: a size, the same in the header', image(pax(record('size', 3)), file('a', 'xyz')), 'f 644 a xyz')
    legal('PAX: keys that mean nothing here', image(pax(record('comment', 'x'), record('VENDOR.key', 'a=b\nc'),
          record('atime', '1'), record('hdrcharset', 'BINARY')), file('a', 'x')), 'f 644 a x')
    legal('PAX: does not reach the entry after', image(pax(record('path', 'b'), record('mtime', 5)), file('a', 'x'),
          file('c', 'y')), 'f 644 b x @5\n f 644 c y')
    legal('PAX: a global comment', image(pax(record('comment', 'x'), kind='g'), file('a', 'x')), 'f 644 a x')
    legal('PAX: a path with a newline and =', image(pax(record('path', 'a=\nb')), file('s')), 'f 644 a=\\nb')
    legal('PAX: an attribute', image(pax(record('SCHILY.xattr.user.colour', 'blue')), file('a', 'x')),
          'f 644 a x user.colour=blue')
    legal('PAX: attributes of a directory', image(pax(record('SCHILY.xattr.user.a', '1'), record('SCHILY.xattr.user.b', '')),
          folder('d')), 'd 755 d user.a=1 user.b=')
    legal('PAX: an extended header that is empty', image(pax(), file('a', 'x')), 'f 644 a x')
    legal('PAX: almost 64 KiB', image(pax(record('comment', 'x' * 65000)), file('a', 'x')), 'f 644 a x')
    legal('GNU: a long name', image(long_name(long), file('s', 'x', magic=GNU)), 'd 755 d @now\n f 644 %s x' % long)
    legal('GNU: a long name and a long link', image(long_name('y/' * 90, 'K'), long_name(long), symlink('s', 'z', magic=GNU)),
          'd 755 d @now\n l %s -> %s' % (long, show(b'y/' * 90)))
    legal('a name of 255 bytes', image(long_name('n' * 255), file('s')), 'f 644 ' + 'n' * 255)
    deep = 'd/' * 1000
    legal('1000 levels', image(pax(record('path', deep + 'f')), file('s', 'x')), '\n'.join(
        ['d 755 %s @now' % deep[:2 * i + 1] for i in range(1000)] + ['f 644 %sf x' % deep]))
    many = ['%s%d' % (k, i) for i in range(3000) for k in 'ab']
    legal('6000 files', image(*[file(n, n) for n in many]), '\n'.join('f 644 %s %s' % (n, n) for n in many))
    legal('one block of zeros at the end', frame(file('a', 'x') + b'\0' * 512), 'f 644 a x')
    legal('many blocks of zeros at the end', frame(file('a', 'x') + b'\0' * 512 * 99), 'f 644 a x')


def legal_from_tools():
    """The same tree, packed by GNU tar and by Python in every format that they know."""
    os.makedirs('tree/dir/empty')
    os.makedirs('tree/' + 'l' * 70 + '/' + 'm' * 70)
    for path, data in (('dir/a', b'x'), ('dir/text', TEXT), ('l' * 70 + '/' + 'm' * 70 + '/' + 'n' * 60, b'deep'), ('e', b'')):
        with open('tree/' + path, 'wb') as f:
            f.write(data)
    os.symlink('a', 'tree/dir/link')
    os.link('tree/dir/a', 'tree/z')
    os.mkfifo('tree/fifo', 0o600)
    os.chmod('tree/dir/empty', 0)
    os.chown('tree/e', 1000, 1001)
    for root, folders, files in os.walk('tree', topdown=False):
        for name in folders + files:
            os.utime(os.path.join(root, name), (TIME, TIME), follow_symlinks=False)
    os.utime('tree', (TIME, TIME))
    want = '\n'.join(listing('tree'))
    short = '\n'.join(line for line in listing('tree') if 'l' * 70 not in line)
    packed = {}
    for kind in 'v7', 'oldgnu', 'gnu', 'ustar', 'posix':
        left_out = ['--exclude=' + 'l' * 70, '--exclude=fifo'] if kind == 'v7' else []
        packed['GNU tar, ' + kind] = subprocess.run(['tar', '--format=' + kind, '-C', 'tree', *left_out, '-c', '.'],
                                                    stdout=subprocess.PIPE, check=True).stdout
    for kind in 'USTAR', 'GNU', 'PAX':
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode='w', format=getattr(tarfile, kind + '_FORMAT')) as t:
            t.add('tree', '.')
        packed['Python, ' + kind] = raw.getvalue()
    remove('tree')
    for label, data in packed.items():
        plain = '\n'.join(line for line in short.split('\n') if not line.startswith('p '))
        legal(label, lz4('-BD', data), plain if 'v7' in label else want)


def refused_archives():
    dots = r"'\.\.'"
    for name in '..', '../x', 'a/..', 'a/../x', 'a/../../x', '/..', '/../x', './..', './../canary/f', 'a/./../b', '..//':
        refused('the name %s' % name, image(file(name)), dots)
        refused('the directory %s' % name, image(folder(name)), dots)
    refused('.. in the prefix', image(file('x', prefix='..')), dots)
    refused('.. divided between prefix and name', image(file('../canary/f', prefix='a')), dots)
    refused('.. in a PAX path', image(pax(record('path', '../canary/f')), file('a', 'x')), dots)
    refused('.. in a GNU long name', image(long_name('../canary/f'), file('a', 'x', magic=GNU)), dots)
    refused('.. in a link\'s own name', image(symlink('../x', 'y')), dots)
    refused('.. in a FIFO\'s name', image(fifo('../x')), dots)
    refused('.. in a device\'s name', image(entry('../x', '3')), dots)

    through = 'Not a directory|Too many levels'
    for label, target in (('upwards', '../canary'), ('by its full path', os.path.abspath('canary')),
                          ('through /proc', '/proc/self/cwd/canary'), ('within the root', 'd')):
        start = folder('d'), symlink('l', target)
        refused('a file through a link, ' + label, image(*start, file('l/f', 'x')), through)
        refused('a new file through a link, ' + label, image(*start, file('l/new', 'x')), through)
        refused('a directory through a link, ' + label, image(*start, folder('l/new')), through)
        refused('a link through a link, ' + label, image(*start, symlink('l/new', 'x')), through)
        refused('a FIFO through a link, ' + label, image(*start, fifo('l/new')), through)
        refused('a hard link through a link, ' + label, image(*start, file('a'), hard('l/new', 'a')), through)
        refused('a hard link to what is behind a link, ' + label, image(*start, hard('h', 'l/f')), through)
        refused('a path that is not there behind a link, ' + label, image(*start, file('l/x/y/z')), through)
    refused('a chain of links', image(symlink('a', '..'), symlink('b', 'a/canary'), file('b/f', 'x')), through)
    refused('a link below a directory', image(folder('d'), symlink('d/l', '../../canary'), file('d/l/f', 'x')), through)
    refused('a directory that became a link', image(folder('d'), symlink('d', '../canary'), file('d/f', 'x')), through)
    refused('a hard link to ../canary/f', image(hard('h', '../canary/f')), dots)
    refused('a hard link to the full path of the canary', image(hard('h', os.path.abspath('canary/f')[:99])), 'No such file')
    refused('a PAX hard link to ../canary/f', image(pax(record('linkpath', '../canary/f')), hard('h', 'a')), dots)
    refused('a GNU hard link to ../canary/f', image(long_name('../canary/f', 'K'), hard('h', 'a', magic=GNU)), dots)
    refused('a hard link to what comes later', image(hard('h', 'a'), file('a', 'x')), 'No such file')
    refused('a hard link to itself, which is not there', image(hard('h', 'h')), 'No such file')
    refused('a hard link to a directory', image(folder('d'), hard('h', 'd')), 'permitted|directory')
    refused('a hard link to nothing', image(hard('h', '')), '.')
    refused('a hard link to the root', image(hard('h', '/')), '.')
    refused('a hard link with data', image(file('a', 'x'), hard('h', 'a', data=b'y')), 'data where none')

    for name in '.', '', './/.', '/.':
        refused('a file %r in place of the root' % name, image(entry(name, '0')), 'replace the root')
    for name in '.', './', '/', '':
        refused('a link %r in place of the root' % name, image(symlink(name, '../canary')), 'replace the root')
    refused('a directory with an entry that becomes a file', image(file('d/a'), file('d', 'x')), 'not empty')
    refused('a directory with an entry that becomes a link', image(file('d/a'), symlink('d', 'x')), 'not empty')
    refused('a file as parent', image(file('a'), file('a/b')), 'Not a directory')
    refused('a FIFO as parent', image(fifo('a'), file('a/b')), 'Not a directory')
    refused('a link to nothing', image(symlink('a', '')), '.')

    for label, size in (('negative', base256(-1, 12)), ('the most negative', base256(-2**63, 12)),
                        ('2^64', base256(2**64, 12)), ('2^94', base256(2**94, 12)), ('garbage', b'garbage'),
                        ('with an 8', b'00000000008\0'), ('with a minus', b'-0000000001\0'), ('in hex', b'0x0000000ff\0'),
                        ('two numbers', b'1 1')):
        refused('a size: ' + label, image(entry('a', size=size)), 'not a number')
    for label, size in (('2^62', base256(2**62, 12)), ('2^63-1', base256(2**63 - 1, 12)), ('8 GiB', b'100000000000'),
                        ('64 GiB - 1', b'7' * 12)):
        refused('a size: ' + label, image(entry('a', size=size)), 'cut short')
        refused('an extended header\'s size: ' + label, image(entry('a', 'x', size=size)), 'longer than')
        refused('a long name\'s size: ' + label, image(entry('a', 'L', size=size)), 'longer than')
    for label, field in (('a mode', {'mode': b'rwxr-xr-x'[:8]}), ('a uid', {'uid': b'root'}), ('a gid', {'gid': b'9999'}),
                         ('a time', {'mtime': b'yesterday'}), ('a negative mode', {'mode': base256(-1, 8)})):
        refused(label + ' that is no number', image(entry('a', **field)), 'not a number')
    for uid in -1, 2**32 - 1, 2**32:
        refused('the uid %d' % uid, image(entry('a', uid=base256(uid, 8))), 'out of range')
    refused('a checksum off by one', image(entry('a', checksum=b'0010000\0')), 'not a tar header')
    refused('a checksum that is no number', image(entry('a', checksum=b'xxxxxxxx')), 'not a tar header')
    refused('noise', frame(NOISE[:51200]), 'not a tar header')
    refused('an archive of cpio', frame(b'070701' + b'0' * 1018), 'not a tar header')
    for kind in 'ZADMNSVX8\x80'.encode('latin-1'):
        refused('an entry of type %r' % bytes([kind]), image(entry('a', bytes([kind]))), 'type|sparse')
    for label, kind in (('directory', '5'), ('link', '2'), ('FIFO', '6'), ('device', '3')):
        refused('a %s with data' % label, image(entry('a', kind, b'x', link='b')), 'data where none')

    malformed = 'malformed'
    for text in (b'0 a=b\n', b'5 a=b\n', b'7 a=b\n', b'6 a=b', b'6 abc\n', b'6 =ab\n', b'x a=b\n', b'-6 a=b\n', b' 7 a=b\n',
                 b'99999 a=b\n', b'18446744073709551622 a=b\n', b'9' * 5000 + b' a=b\n', b'6 a=b\n\0\0', b'\n', b'6', b'6 ',
                 b'6\ta=b\n'):
        refused('a PAX record %r' % text[:30], image(entry('p', 'x', text), file('a')), malformed)
        refused('a global PAX record %r' % text[:30], image(entry('p', 'g', text), file('a')), malformed)
    refused('two PAX paths', image(pax(record('path', 'a'), record('path', 'b')), file('c')), 'twice')
    refused('a global PAX path', image(pax(record('path', 'a'), kind='g'), file('c')), 'twice|global')
    refused('a PAX path that is empty', image(pax(record('path', '')), file('c')), 'no proper path')
    refused('a PAX path with a NUL', image(pax(record('path', b'a\0b')), file('c')), 'no proper path')
    refused('a PAX path that is too long', image(pax(record('path', 'd/' * 2100)), file('c')), 'no proper path')
    refused('a PAX name of 256 bytes', image(pax(record('path', 'n' * 256)), file('c')), '255 bytes')
    refused('a GNU name of 256 bytes', image(long_name('n' * 256), file('c')), '255 bytes')
    refused('a GNU name of 5000 bytes', image(long_name('d/' * 2500), file('c')), 'longer than')
    refused('a GNU name of 8 MiB', image(long_name('d/' * (4 << 20)), file('c')), 'longer than')
    refused('a PAX header of 8 MiB', image(pax(record('comment', 'x' * (8 << 20))), file('c')), 'longer than')
    for value in 'x', '', '-1', '1.5', '0x10', '9' * 19, '9' * 5000, ' 1', '1 ':
        refused('a PAX size %r' % value[:30], image(pax(record('size', value)), file('a')), 'extended header')
        refused('a PAX uid %r' % value[:30], image(pax(record('uid', value)), file('a')), 'extended header')
    for value in 'x', '', '.5', '1.x', '1..2', '--1', '1.-5', '9' * 30:
        refused('a PAX time %r' % value[:30], image(pax(record('mtime', value)), file('a')), 'extended header')
    refused('a PAX uid out of range', image(pax(record('uid', 2**32 - 1)), file('a')), 'out of range')
    refused('two sizes', image(pax(record('size', 512)), entry('a', data=b'x' * 512 + file('../canary/f', 'y'), size=1024)),
            'two sizes')
    refused('a PAX size for a directory', image(pax(record('size', 5)), folder('d')), 'data where none')
    refused('two PAX headers', image(pax(record('mtime', 1)), pax(record('mtime', 2)), file('a')), 'two|twice')
    refused('two GNU names', image(long_name('a'), long_name('b'), file('c')), 'two names')
    refused('a GNU name and a PAX path', image(long_name('a'), pax(record('path', 'b')), file('c')), 'two|twice')
    refused('a PAX path and a GNU name', image(pax(record('path', 'b')), long_name('a'), file('c')), 'two|twice')
    refused('10,000 GNU names', image(*[long_name('a')] * 10000, file('c')), 'two names')
    refused('10,000 PAX headers', image(*[pax(record('path', 'a'))] * 10000, file('c')), 'two|twice')
    refused('a PAX header at the end', image(file('a'), pax(record('path', 'b'))), 'without an entry')
    refused('a GNU name at the end', image(file('a'), long_name('b')), 'without an entry')
    refused('a PAX header without a path at the end', image(file('a'), pax(record('comment', 'b'))), 'without an entry')
    refused('a PAX attribute that the kernel refuses', image(pax(record('SCHILY.xattr.nonsense', 'x')), file('a')), 'a: ')
    sparse = 'sparse'
    refused('sparse, old GNU', image(entry('a', 'S', magic=GNU)), sparse + '|type')
    refused('sparse, PAX 0.0', image(pax(record('GNU.sparse.size', 9), record('GNU.sparse.numblocks', 1)), file('a')), sparse)
    refused('sparse, PAX 0.1', image(pax(record('GNU.sparse.map', '0,1'), record('GNU.sparse.name', '../f')), file('a')), sparse)
    refused('sparse, PAX 1.0', image(pax(record('GNU.sparse.major', 1), record('GNU.sparse.minor', 0),
            record('GNU.sparse.name', 'b'), record('GNU.sparse.realsize', 2**40)), file('a')), sparse)
    refused('a sparse name alone, a second name', image(pax(record('GNU.sparse.name', 'b')), file('a')), sparse)

    refused('no end mark', frame(file('a', 'x')), 'archive is cut short')
    refused('an entry that is cut', frame(tar(file('a', 'x' * 1000))[:1000]), 'cut short')
    refused('a header that is cut', frame(file('a', 'x') + file('b')[:300]), 'cut short')
    refused('padding that is cut', frame(file('a', 'x')[:600]), 'cut short')
    refused('an entry behind the end', frame(tar(file('a')) + tar(file('b'))), 'follow the end')
    refused('an entry behind one block of zeros', frame(file('a') + b'\0' * 512 + file('b') + b'\0' * 1024), 'follow the end')
    refused('a byte behind the end', frame(tar(file('a')) + b'\0' * 700 + b'x'), 'follow the end')
    refused('a wrong content checksum, behind a good archive', frame(tar(file('a', TEXT)), bad_content=1), 'checksum')
    everything = tar(folder('d', 0), file('d/a', TEXT), symlink('d/l', '/'), hard('h', 'd/a'), fifo('p'),
                     pax(record('path', 'e/' * 500 + 'f')), file('s', 'x'))
    refused('a large tree, which is taken away again', frame(everything, bad_content=1), 'checksum')
    escaped = image(file('a\nlauncher: all is well\033[31m/..'))
    refused('a name that would write a line of its own', escaped, dots)


def places():
    """DIR itself: what is there, and what there is no room for."""
    with open('x.img', 'wb') as f:
        f.write(frame(SMALL))

    def run(*words):
        p = subprocess.run(command + list(words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           timeout=LIMIT)
        return p.returncode, p.stderr

    os.mkdir('full')
    with open('full/file', 'w') as f:
        f.write('kept')
    status, said = run('unpack', 'x.img', 'full')
    result(status == 1 and os.listdir('full') == ['file'] and said.count(b'\n') == 1,
           'refused: a directory that is not empty', status, said, os.listdir('full'))
    os.symlink('canary', 'link')
    status, said = run('unpack', 'x.img', 'link')
    result(status == 1 and os.readlink('link') == 'canary' and os.listdir('canary') == ['f'], 'refused: a link', status, said)
    os.mkdir('empty')
    status, said = run('unpack', 'x.img', 'empty/')
    result(status == 0 and sorted(os.listdir('empty')) == ['a', 'd'], 'legal: a directory that is empty', status, said)
    for label, name, words in (('a file that is not there', 'none.img', b'No such file'), ('a directory', 'canary', b'canary: '),
                               ('a FIFO', 'fifo', b'fifo: ')):
        if name == 'fifo':
            os.mkfifo('fifo')
        status, said = run('unpack', name, 'out')
        result(status == 1 and words in said and said.count(b'\n') == 1 and not os.path.lexists('out')
               and not os.path.lexists('out.partial'), 'refused: %s as image' % label, status, said)
    status, said = run('unpack', 'x.img', 'nowhere/out')
    result(status == 1 and b'nowhere/out' in said and said.count(b'\n') == 1, 'refused: a place that is not there', status, said)
    for name in 'full', 'empty':
        remove(name)
    os.unlink('link')
    os.unlink('fifo')

    # A file system of 64 KiB, in a mount namespace of its own.
    os.mkdir('small')
    with open('x.img', 'wb') as f:
        f.write(image(folder('d'), file('d/a', TEXT), file('b')))
    script = 'mount -t tmpfs -o size=64k none small && "$@" unpack x.img small/out; echo $?; ls -A small'
    p = subprocess.run(['unshare', '-m', 'sh', '-c', script, 'sh'] + command, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, timeout=LIMIT)
    result(p.stdout == b'1\n' and re.fullmatch(rb'launcher: x\.img: [^\n]*No space left[^\n]*\n', p.stderr),
           'refused: a tree that does not fit, and nothing is left', p.stdout, p.stderr)
    # A limit on the size of a file kills the child that unpacks.
    script = 'ulimit -f 16; "$@" unpack x.img small/out; echo $?; ls -A small'
    p = subprocess.run(['sh', '-c', script, 'sh'] + command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT)
    result(p.stdout == b'1\n' and re.fullmatch(rb'launcher: x\.img: [^\n]+\n', p.stderr),
           'refused: the child that unpacks is killed, and nothing is left', p.stdout, p.stderr)
    remove('small')


def main():
    os.umask(0o022)
    base = tempfile.mkdtemp()
    try:
        os.chdir(base)
        os.mkdir('canary', 0o701)
        with open('canary/f', 'w') as f:
            f.write('alive')
        os.chmod('canary/f', 0o604)
        os.utime('canary/f', (77, 77))
        os.utime('canary', (78, 78))
        with open('x.img', 'wb'):
            pass
        for part in legal_frames, refused_frames, legal_archives, legal_from_tools, refused_archives, places:
            part()
    finally:
        os.chdir('/')
        remove(base)
    print('1..%d' % count)
    return failed != 0


sys.exit(main())
