#!/usr/bin/env python3
"""Images, legal and illegal, and what `launcher unpack` makes of them.

takes: LAUNCHER  [COMMAND...] that runs it (prlimit, for one)
gives: TAP. A legal image becomes the tree that is written next to it; an illegal one becomes
       nothing, for the reason written next to it. Either way all around it stays as it was.
environment: EVERY  leaves out most cuts and flipped bits: 7 takes one of seven (1)
             KEYED  a launcher that takes only what known.sec, second.sec or twin.sec has signed, and has rows for web-1.2.img
             KEYRING  the directory of these three, of which twin has the number of known, and of other.sec
             SEEDS  a directory: instead of all that, a few images of each kind are left there
"""
import base64
import concurrent.futures
import functools
import gzip
import hashlib
import io
import itertools
import json
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
PACK = os.path.abspath('images/pack')
KEYRING = os.environ.get('KEYRING')
SEEDS = os.environ.get('SEEDS')

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


def flipped(data, i):
    """With that bit turned over."""
    return data[:i // 8] + bytes([data[i // 8] ^ 1 << i % 8]) + data[i // 8 + 1:]


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


def number(n):
    """What goes on behind the nibble of a token."""
    return b'' if n < 15 else b'\xff' * ((n - 15) // 255) + bytes([(n - 15) % 255])


def sequences(*steps, last=b''):
    """An LZ4 block of (literals, distance, length) and the last literals; and what it becomes."""
    out, made = b'', bytearray()
    for data, distance, length in steps:
        out += bytes([min(len(data), 15) << 4 | min(length - 4, 15)]) + number(len(data)) + data
        out += struct.pack('<H', distance) + number(length - 4)
        made += data
        piece = bytes(made[-distance:])[:length]
        made += (piece * (length // len(piece) + 1))[:length]
    out += bytes([min(len(last), 15) << 4]) + number(len(last)) + last
    return out, bytes(made) + last


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


# ---- headers -------------------------------------------------------------------------------------


@functools.lru_cache(None)
def blake3(data):
    return subprocess.run(['b3sum', '--no-names', '--num-threads', '1'], input=data, stdout=subprocess.PIPE,
                          check=True).stdout.decode().strip()


def lines(body, chunk=65536, shards=(0,), **other):
    """A header as pairs. What is given by name takes the place of that line; None leaves it out."""
    pairs = [('name', 'test'), ('created', 0), ('payload', 'tar.lz4'), ('unpacked', 4096), ('entries', 3),
             ('size', len(body)), ('chunk', chunk)] + [('shard', at) for at in shards]
    for at in range(0, len(body), chunk):
        pairs.append(('blake3', blake3(body[at:at + chunk])))
    return [(k, other.get(k, v)) for k, v in pairs if other.get(k, v) is not None]


def text_of(pairs, first='launcher-image 1'):
    out = first.encode() + b'\n'
    for key, value in pairs:
        out += key.encode() + b' ' + (value if isinstance(value, bytes) else str(value).encode()) + b'\n'
    return out


def sign(text, key):
    """As signify does it: a comment, the signature, the text."""
    return subprocess.run(['signify-openbsd', '-S', '-e', '-s', '%s/%s.sec' % (KEYRING, key), '-m', '-', '-x', '-'],
                          input=text, stdout=subprocess.PIPE, check=True).stdout


def signed_text(pairs, key='known'):
    return sign(text_of([('signed', 'verify with %s.pub' % key)] + pairs), key)


def headed(body, pairs=None, key=None, **other):
    """A body behind its header: the one that is right for it, or another."""
    pairs = lines(body, **other) if pairs is None else pairs
    return skippable(signed_text(pairs, key) if key else text_of(pairs)) + body


def shards_of(*groups, end=b'\0' * 1024):
    """A frame for each group of entries; and where they begin."""
    body, starts = b'', []
    for i, group in enumerate(groups):
        starts.append(len(body))
        data = b''.join(group) + (end if i == len(groups) - 1 else b'')
        body += frame(data) if len(data) < 1 << 18 else lz4('-B4 -BD', data)
    return body, starts


def sharded(*groups, key=None, end=b'\0' * 1024, **other):
    body, starts = shards_of(*groups, end=end)
    return headed(body, key=key, shards=starts, **other)


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

if not SEEDS:
    launcher = os.path.abspath(sys.argv[1])
    command = sys.argv[2:] + [launcher]
KEYED = os.environ.get('KEYED') and sys.argv[2:] + [os.path.abspath(os.environ['KEYED'])]
VERIFIES = True  # it can: it takes namespaces, which an emulator of programs lacks
count = failed = unpacked = 0
differ = []  # where `verify` is of another opinion than `unpack`


def some(of_many):
    """One of EVERY of them, in no order that they could have in common with it."""
    return sorted(of_many, key=lambda x: zlib.crc32(repr(x)[:200].encode()))[::EVERY] if EVERY > 1 else of_many


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


def verify_too(who, data, status):
    """`verify` takes what `run` takes, and that can be unpacked; it refuses the rest with the same words."""
    def say(*words):
        return subprocess.run(who + list(words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=LIMIT)

    p, run = say('verify', 'x.img'), say('run', 'x.img', '--', '/none')
    ok = re.fullmatch(rb'x\.img: ok; signer: [^\n]+\n', p.stdout)
    refused = re.findall(rb'^launcher: \./(x\.img: .*\n)', run.stderr, re.M)
    words = re.findall(rb'^launcher: (x\.img: .*\n)', p.stderr, re.M)
    luck = data.count(b'\nshard ') > 1  # which of the shards is the first to fail
    if p.returncode not in (0, 1) or (p.returncode == 0) != bool(ok) or bool(ok) == bool(refused) or \
            words != refused and not luck or status and ok:
        differ.append('unpack: %s, verify: %s %r %r, run: %r' % (status, p.returncode, p.stderr, p.stdout, run.stderr))


def unpack(data, who=None):
    """Exit status, what was said, the tree or None, and what else went wrong."""
    global unpacked
    who = who or command
    with open('x.img', 'wb') as f:
        f.write(data)
    before, wrong = snapshot('canary'), []
    try:
        p = subprocess.run(who + ['unpack', 'x.img', 'out'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=LIMIT)
        status, said = p.returncode, p.stderr
        unpacked += 1
        if unpacked % 7 == 0 and VERIFIES:
            verify_too(who, data, status)
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


def legal(what, data, expected, said=b'', who=None):
    status, words, tree, wrong = unpack(data, who)
    want = [line.strip() for line in expected.strip().split('\n') if line.strip()]
    good = status == 0 and tree is not None and sorted(tree) == sorted(want) and re.search(said, words) and not wrong
    good = good and words.count(b'\n') == (1 if said else 0)
    result(good, 'legal: ' + what, 'exit status %s: %r' % (status, words), *wrong,
           'missing: %s' % sorted(set(want) - set(tree or [])), 'unexpected: %s' % sorted(set(tree or []) - set(want)))


def refusal(data, reason, who=None):
    """What is wrong with how it is refused: a list, empty if nothing is."""
    status, said, tree, wrong = unpack(data, who)
    if status != 1:
        wrong.append('exit status %s' % status)
    if tree is not None:
        wrong.append('there is a tree: %s' % tree)
    if not re.fullmatch(rb'launcher: x\.img: [^\n\0-\037]+\n', said) or not re.search(reason.encode(), said):
        wrong.append('it says %r, not %r' % (said, reason))
    return wrong


def refused(what, data, reason, who=None):
    wrong = refusal(data, reason, who)
    result(not wrong, 'refused: ' + what, *wrong)


def all_refused(what, images, reason):
    """Many of a kind as one test: pairs of a label and the bytes."""
    wrong = ['%s: %s' % (label, w) for label, data in images for w in refusal(data, reason)]
    result(not wrong, 'refused: ' + what, *wrong[:10])


def quickly_refused(what, images, reason, who):
    """Many more of a kind, two at a time, of which nothing must remain. Returns how many there were."""
    def one(pair):
        at, (label, data) = pair
        name = 'quick%d' % (at % 64)
        with open(name + '.img', 'wb') as f:
            f.write(data)
        p = subprocess.run(who + ['unpack', name + '.img', name], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.PIPE, timeout=LIMIT)
        good = p.returncode == 1 and re.fullmatch(rb'launcher: quick\d+\.img: [^\n\0-\037]+\n', p.stderr) and \
            re.search(reason, p.stderr) and not os.path.lexists(name) and not os.path.lexists(name + '.partial')
        os.unlink(name + '.img')
        return None if good else '%s: exit status %d, %r' % (label, p.returncode, p.stderr)

    images = list(images)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        wrong = [w for w in pool.map(one, enumerate(images)) if w]
    result(images and not wrong, 'refused: %s' % what, *wrong[:10])
    return len(images)


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
                [('bit %d' % i, flipped(whole, i))
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
    refused('a skippable frame that is too long', frame(SMALL) + le32(0x184D2A50) + le32(0xFFFFFFFF), 'cut short')
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
    for value in 'x', '', '.5', '1.x', '1..2', '12x', '-1x', '1,5', '1 ', '--1', '1.-5', '9' * 30:
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
    refused('a PAX attribute with a name of 256 bytes', image(pax(record('SCHILY.xattr.user.' + 'n' * 251, 'x')), file('a')),
            'a: ')
    refused('a PAX attribute with a NUL', image(pax(record(b'SCHILY.xattr.user.a\0b', 'x')), file('a')), 'a: ')
    sparse = 'sparse'
    refused('sparse, old GNU', image(entry('a', 'S', magic=GNU)), sparse + '|type')
    refused('sparse, PAX 0.0', image(pax(record('GNU.sparse.size', 9), record('GNU.sparse.numblocks', 1)), file('a')), sparse)
    refused('sparse, PAX 0.1', image(pax(record('GNU.sparse.map', '0,1'), record('GNU.sparse.name', '../f')), file('a')),
            sparse)
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


# ---- large blocks --------------------------------------------------------------------------------


def large_blocks():
    """Blocks of every size: those of lz4, and ones that it would not write."""
    sizes = ('-B4', '-B5', '-B6', '-B7', '-B6 -BD', '-B7 -BD -BX', '-l')
    contents = (('noise', (NOISE * 50)[:9 << 20]), ('zeros', b'\0' * (20 << 20)), ('text', TEXT * 12),
                ('both', b''.join(NOISE[i * 7:i * 7 + i * 100] + TEXT[i * 90:i * 150] for i in range(200))))
    for options, (label, data) in some(list(itertools.product(sizes, contents))):
        packed = tar(file('a', data), file('b', 'x'))
        legal('lz4 %s of %s' % (options, label), lz4('--no-content-size ' + options, packed),
              'f 644 a %s\n f 644 b x' % show(data))
    # Long runs of literals and matches, over the borders of the pieces of 128 KiB.
    piece, noise = 128 << 10, NOISE * 12
    shapes = [('a run of %d literals' % n, [(noise[:n], min(n, 7), 20)], b'') for n in (1, 14, 15, 269, 270, 271, piece - 512,
              piece - 511, piece - 513, piece, piece + 1, 5 * piece + 3)]
    lengths = 4, 18, 19, 273, 274, 275, piece, piece - 1, piece + 1, 6 * piece + 5
    shapes += [('a match of %d, %d back' % (n, back), [(noise[:65535], back, n)], b'')
               for n in lengths for back in (1, 2, 3, 8, 31, 65534, 65535)]
    shapes += [('last literals: %d' % n, [(noise[:5000], 4096, 40000)], noise[:n]) for n in (0, 1, 4, 5, 14, 15, 16, piece)]
    shapes += [('5000 short sequences', [(noise[i:i + i % 40], 1 + i % 9, 4 + i % 90) if i else (noise[:9], 9, 4)
                                         for i in range(5000)], b'')]
    shapes += [('9000 sequences without literals', [(noise[:70], 64, 4)] + [(b'', 60 + i % 9, 4 + i % 30)
                                                                            for i in range(9000)], b'')]
    for label, steps, last in some(shapes):
        made = sequences(*steps, last=last)[1]
        head = file('a', made)[:512]
        end = b'\0' * (-len(made) % 512 + 1024)
        whole, out = sequences((head + steps[0][0],) + steps[0][1:], *steps[1:], last=last)
        # What ends the archive is a block of its own, so that the last literals are the last.
        for kind, data in (('1 MiB', header(bd=0x60) + block(whole) + block(literals(end)) + END_MARK),
                           ('4 MiB, linked, with checksums', header(0x54, 0x70) + block(whole) + le32(xxh32(whole)) +
                            stored(end, True) + END_MARK + le32(xxh32(out + end))),
                           ('legacy', le32(0x184C2102) + block(whole) + block(literals(end)))):
            if len(out) <= 1 << 20:
                legal('%s, %s' % (kind, label), data, 'f 644 a ' + show(made))
    # A match that reaches into the block before.
    back = file('a', NOISE[:65535 + 4000])[:512 + 65535]
    reach = b'\x0f\xff\xff' + number(4000 - 4) + b'\0'
    whole = NOISE[:65535] + NOISE[:4000]
    tail = b'\0' * (-len(whole) % 512 + 1024)
    for label, first in (('stored', stored(back)), ('compressed', block(literals(back)))):
        data = first + block(reach) + stored(tail) + END_MARK
        legal('1 MiB, linked: a match into a block before that is ' + label, header(0x40, 0x60) + data,
              'f 644 a ' + show(whole))
        refused('1 MiB, independent: a match into a block before that is ' + label, header(0x60, 0x60) + data,
                'a block does not decode')
    data = header(0x40, 0x70) + stored(back[:65000]) + END_MARK + header(0x40, 0x70) + block(reach) + END_MARK
    refused('4 MiB, linked: a match into the frame before', data, 'a block does not decode')

    bad = 'a block does not decode'
    start = file('a', size=16 << 20)[:512] + b'a'
    for label, bd, most in ('1 MiB', 0x60, 1 << 20), ('4 MiB', 0x70, 4 << 20), ('legacy', None, 8 << 20):
        begin, close = (header(bd=bd), END_MARK) if bd else (le32(0x184C2102), b'')
        for what, inside in (('that grows past its maximum by a match', sequences((start, 1, most - 512))[0]),
                             ('that grows past its maximum by a literal', sequences((start, 1, most - 518), last=b'xxxxxx')[0]),
                             ('of lengths that do not end', b'\xf0' + b'\xff' * 50000),
                             ('of match lengths that do not end', b'\x1fa\x01\0' + b'\xff' * 50000),
                             ('a match at offset 0', b'\x14a\0\0\x50xxxxx'), ('a match before the start',
                                                                              b'\x14a\x02\0\x50xxxxx'),
                             ('literals past the end', b'\xf0\x40abc'), ('cut in a distance', b'\x14a\x01'),
                             ('a match as the end', b'\x14a\x01\0'), ('cut in a length', b'\xf0\xff')):
            refused('%s: a block %s' % (label, what), begin + block(inside) + close, bad if bd else bad + '|cut short')
            refused('%s: a block %s, the last bytes of the file' % (label, what), begin + block(inside), bad + '|cut short')
        for n in most + 1, 0x7FFFFFFF:
            if bd:
                refused('%s: a stored block of %d' % (label, n), begin + le32(n | 1 << 31) + SMALL, 'impossible size')
    whole = header(0x74, 0x60) + block(literals(SMALL)) + le32(xxh32(literals(SMALL))) + END_MARK + le32(xxh32(SMALL))
    legal('1 MiB, all checksums', whole, SMALL_TREE)
    at = whole.index(END_MARK, len(whole) - 12) - 4
    refused('1 MiB, a wrong block checksum', whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:], 'checksum of a block')
    all_refused('1 MiB, all checksums, cut at each place', [('at %d' % n, whole[:n]) for n in range(1, len(whole), 13 * EVERY)],
                'cut short|not an LZ4 image')
    packed = lz4('-B7 -BX', tar(file('a', TEXT)))
    all_refused('4 MiB, bits flipped', [('bit %d' % i, flipped(packed, i))
                                        for i in range(0, len(packed) * 8, len(packed) * 8 // 200 * EVERY)], '.')
    for n, data in ((1000000, header() + block(b'\0') * 1000000 + END_MARK),
                    (300000, header(bd=0x70) + block(b'\0') * 300000 + END_MARK)):
        legal('%d blocks of nothing' % n, data + frame(SMALL), SMALL_TREE)


# ---- images with a header ------------------------------------------------------------------------

FOLDERS = folder('d', 0o750, mtime=7), folder('d/e', 0), folder('d/e/f', 0o1777)
FILES = (file('a', NOISE[:70000]), file('d/b', 'more'), symlink('d/e/l', '../../a'), file('d/e/f/c', TEXT),
         file('d/e/x', NOISE[:9999]), hard('d/e/y', 'd/e/x'), fifo('p'))
TREE = '\n'.join(['d 750 d @7', 'd 0 d/e', 'd 1777 d/e/f', 'f 644 a ' + show(NOISE[:70000]), 'f 644 d/b more',
                  'l d/e/l -> ../../a',
                  'f 644 d/e/f/c ' + show(TEXT), 'p 644 p', 'f 644 d/e/x ' + show(NOISE[:9999]), 'h d/e/y = d/e/x'])


def cut_in(entries, n):
    """The same entries as n groups; a hard link and its target stay together."""
    size = -(-len(entries) // n)
    return [entries[i:i + size] for i in range(0, len(entries), size)]


def both(what, body, tree, **other):
    """Without a signature for the one launcher, signed for the other."""
    legal(what, headed(body, **other), tree)
    if KEYED:
        legal(what + ', signed', headed(body, key='known', **other), tree, who=KEYED)
        legal(what + ', signed by a stranger, which matters to nobody', headed(body, key='other', **other), tree)


def legal_headers():
    small = frame(SMALL)
    both('a header', small, SMALL_TREE)
    for shift in range(16, 21):
        chunk = 1 << shift
        body = frame(tar(file('a', (NOISE * 12)[:2 * chunk - 3000])))
        for label, n in ('exactly', 2 * chunk), ('and a byte', 2 * chunk + 1), ('less a byte', 2 * chunk - 1):
            both('chunks of %d, two of them, %s' % (chunk, label), body + skippable(b'p' * (n - len(body) - 8)),
                 'f 644 a ' + show((NOISE * 12)[:2 * chunk - 3000]), chunk=chunk)
    both('an empty archive', frame(tar()), '')
    both('tiny blocks', frame(SMALL, step=1), SMALL_TREE)
    both('a legacy frame', legacy(SMALL), SMALL_TREE)
    both('skippable frames in the body', skippable(b'') + small + skippable(b'launcher-image 1\n'), SMALL_TREE)
    both('blocks of 4 MiB', lz4('-B7', MIXED), MIXED_TREE, chunk=1 << 18)
    both('legacy blocks', lz4('-l', MIXED), MIXED_TREE)

    for n in range(1, 17):
        many = [(file('d/%d' % i, NOISE[i * 50:i * 300]), symlink('d/l%d' % i, 'x'), hard('d/h%d' % i, 'd/%d' % i))
                for i in range(n)]
        tree = ['d 750 d @7'] + ['f 644 d/%d %s' % (i, show(NOISE[i * 50:i * 300])) for i in range(n)]
        tree += ['l d/l%d -> x' % i for i in range(n)] + ['h d/h%d = d/%d' % (i, i) for i in range(n)]
        body, starts = shards_of(FOLDERS[:1], *many)
        both('%d shards and the directories' % n, body, '\n'.join(tree), shards=starts)
    for n in 1, 2, 3:
        body, starts = shards_of(FOLDERS, *cut_in(FILES, n))
        for chunk in (65536,) if EVERY > 1 else (65536, 1 << 18, 1 << 20):
            both('all kinds of entries in %d shards, chunks of %d' % (n, chunk), body, TREE, shards=starts, chunk=chunk)
    body, starts = shards_of(FOLDERS + FILES)
    both('one shard', body, TREE, shards=starts)
    both('no shard said', body, TREE, shards=())
    body, starts = shards_of((), (file('a', 'x'),))
    both('no directories', body, 'f 644 a x', shards=starts)
    body, starts = shards_of((folder('./', 0o700, mtime=5),), (file('a', 'x'),))
    both('the root itself in shards', body, 'd 700 . @5\n f 644 a x', shards=starts)
    body, starts = shards_of((), (file('a', NOISE),), (file('b', NOISE), file('c', 'y')))
    both('a shard that begins in the middle of a chunk', body, 'f 644 a %s\n f 644 b %s\n f 644 c y' % (show(NOISE),
                                                                                                        show(NOISE)),
         shards=starts)
    legal('device nodes in shards', sharded((), (entry('n', '3'),), (entry('m', '4'),)), '', rb'2 device nodes')

    plain = lines(small)
    every = [('signed', 'verify with known.pub'), ('name', 'n' + 'a' * 62), ('version', '1.2.3'), ('arch', 'armv7'),
             ('kernel', '99.1'),
             ('created', 10**17)] + [('entry', 'word %d' % i) for i in range(32)] + [('env', 'A%d=\u00e4' % i)
                                                                                     for i in range(32)] + \
            [('cwd', '/a b'), ('user', '1:2'), ('payload', 'tar.lz4'), ('unpacked', 10**17), ('entries', 0)] + plain[-4:]
    for label, pairs in (('every field', every[1:]), ('the least that it can say', plain[-3:-2] + plain[-4:-3] + plain[-1:]),
                         ('another order', plain[::-1]), ('keys of the future', [('future', 'x')] + plain + [('future', 'y'),
                                                                                                             ('z', '')]),
                         ('values that are empty', [('name', ''), ('entry', ''), ('cwd', '')] + plain[1:]),
                         ('bytes that are no text', [('name', b'\xff\xfe'), ('cwd', '\u202e')] + plain[1:]),
                         ('96 KiB of it', [('future', 'x' * 98000)] + plain),
                         ('16,000 lines', [('f', '')] * 16000 + plain),
                         ('128 KiB less a little', plain + [('future', 'x' * (131072 - 60 - len(text_of(plain))))])):
        legal('header: ' + label, headed(small, pairs), SMALL_TREE)
        if KEYED:
            legal('signed header: ' + label, headed(small, pairs, 'known'), SMALL_TREE, who=KEYED)
    exact = text_of(plain + [('f', 'x' * (131072 - len(text_of(plain)) - 3))])
    legal('header: 128 KiB', skippable(exact) + small, SMALL_TREE)
    refused('header: 128 KiB and a byte', skippable(exact[:-1] + b'x\n') + small, 'more than 131072')
    refused('header: 200 KiB', skippable(text_of([('f', 'x' * 200000)] + plain)) + small, 'more than 131072')
    big = frame(tar(file('a', (NOISE * 90)[:16 << 20])))
    if EVERY == 1:
        both('257 chunks', big, 'f 644 a ' + show((NOISE * 90)[:16 << 20]))
    if KEYED:
        legal('signed by a key with the number of another', headed(small, key='twin'), SMALL_TREE, who=KEYED)
        legal('signed by the second key', headed(small, key='second'), SMALL_TREE, who=KEYED)


def refused_headers():
    """Headers that lie: about the file, or in themselves."""
    small = frame(SMALL)
    plain = lines(small)
    n, digest = len(small), plain[-1]

    def lie(what, reason, pairs=None, **other):
        refused('header: ' + what, headed(small, pairs, **other), reason)

    for label, size, reason in (('one more', n + 1, 'cut short: 1 bytes'), ('one less', n - 1, '1 bytes follow'),
                                ('none', 0, 'chunks, and'),
                                ('almost 2^60', 10**18 - 1, 'chunks, and'), ('2^63', 2**63, 'not a number'), ('2^64', 2**64,
                                                                                                              'not a number'),
                                ('negative', -1, 'not a number'), ('empty', '', 'not a number'), ('hex', '0x100',
                                                                                                  'not a number'),
                                ('a blank', '%d ' % n, 'not a number'), ('two blanks', ' %d' % n, 'not a number')):
        lie('a size that is ' + label, reason, size=size)
    for chunk in 0, 3, 32768, 65535, 65537, 3 << 16, 2 << 20, 2**40:
        lie('chunks of %d' % chunk, 'impossible size', lines(small)[:6] + [('chunk', chunk), digest])
    for key in 'size', 'chunk':
        lie('no ' + key, 'chunks', [p for p in plain if p[0] != key])
    lie('no digest', 'and 0 digests', plain[:-1])
    lie('a digest too many', '1 chunks, and 2 digests', plain + [digest])
    lie('a digest in capitals', 'does not match', plain[:-1] + [(digest[0], digest[1].upper())])
    lie('a digest that is too short', 'out of line', plain[:-1] + [(digest[0], digest[1][:-1])])
    lie('a digest that is too long', 'out of line', plain + [(digest[0], digest[1] + '0')])
    lie('a digest of another hash', 'and 0 digests', plain[:-1] + [('blake2b', digest[1])])
    lie('a digest that is no hex', 'does not match', plain[:-1] + [(digest[0], 'g' + digest[1][1:])])
    lie('a digest of something else', 'does not match', plain[:-1] + [(digest[0], '0' * 64)])
    large = frame(tar(file('a', NOISE)))
    pairs = lines(large)
    refused('header: a line between the digests', headed(large, pairs[:-1] + [('future', 'x')] + pairs[-1:]), 'out of line')
    refused('header: digests that are exchanged', headed(large, pairs[:-2] + pairs[:-3:-1]), 'chunk 1,|does not match')
    for i in range(len(pairs) - 3, len(pairs)):
        bad = bytearray(large)
        bad[(i - len(pairs) + 3) * 65536 + 40000 if i < len(pairs) - 1 else -1] ^= 1
        refused('header: a bit of chunk %d' % (i - len(pairs) + 3), headed(bytes(bad), pairs),
                'chunk %d, .*digest' % (i - len(pairs) + 3))
    lie('another payload', "kind 'cpio.lz4'", payload='cpio.lz4')
    lie('no payload\'s name', 'kind', payload='')
    for key, value in plain[:-1]:
        if key != 'shard':
            lie('%s twice' % key, 'more than 1', [(key, value)] + plain)
    for key in 'entry', 'env':
        lie('33 times ' + key, 'more than 32', [(key, 'x')] * 33 + plain)
    for label, starts in (('the first is not 0', [1]), ('twice the same', [0, 100, 100]), ('downwards', [0, 200, 100]),
                          ('at the end', [0, n]), ('behind the end', [0, n + 1]), ('far behind it', [0, 10**17]),
                          ('no number', [0, 'x'])):
        lie('shards: ' + label, 'impossible place|not a number', shards=starts)
    lie('18 shards', 'more than 17', shards=range(18))
    lie('a name of another kind of signature', "'signed' is not", [('signed', 'x')] + plain)
    for label, first in (('version 2', 'launcher-image 2'), ('version 10', 'launcher-image 10'), ('no version',
                                                                                                  'launcher-image '),
                         ('a carriage return', 'launcher-image 1\r')):
        refused('header: ' + label, skippable(text_of(plain, first)) + small, 'first line')
    text = text_of(plain)
    for label, bad in (('no line at its end', text[:-1]), ('no line at all', b'launcher-image 1'), ('a first line alone',
                                                                                                    b'launcher-image 1\n'),
                       ('an empty line', text + b'\n'), ('a line without a value', text + b'future\n'),
                       ('a line without a key', text + b' x\n'),
                       ('a NUL', text + b'a b\0c\n'), ('a NUL as its end', text + b'\0'), ('an escape', text + b'a \033[31m\n'),
                       ('a tab', text + b'a\tb c\n'), ('a DEL', text + b'a \x7f\n'), ('a carriage return', text + b'a b\r\n')):
        refused('header: ' + label, skippable(bad) + small, 'header: ')
    whole = headed(small)
    for label, bad in (('behind it', whole + b'\0'), ('512 zeros behind it', whole + b'\0' * 512), ('erased flash behind it',
                                                                                                    whole + b'\xff' * 64),
                       ('a frame behind it', whole + skippable()), ('itself behind it', whole * 2)):
        refused('a header\'s image, ' + label, bad, 'follow its end')
    for label, bad in (('in front of it', b'\0' + whole), ('two headers', skippable(text) + whole)):
        refused('a header\'s image, ' + label, bad, 'not an LZ4|follow its end|archive is cut')
    all_refused('a header\'s image, cut at each place', [('at %d' % i, whole[:i]) for i in range(0, len(whole), 2 * EVERY)],
                'cut short|empty|not an LZ4|what follows|last line')
    for magic in range(0x184D2A51, 0x184D2A60):
        legal('the text of a header in another skippable frame, %x: it is none' % magic, skippable(text, magic) + small,
              SMALL_TREE)


def refused_shards():
    wrong = 'in the wrong shard'
    late = 'No such file|Not a directory|Too many levels'
    x = file('x', 'y')
    body, starts = shards_of(FOLDERS, FILES[:3], FILES[3:])
    for label, moved in (('the middle of a frame', [0, starts[1] + 20, starts[2]]), ('the end mark of a frame',
                                                                                     [0, starts[1] - 8, starts[2]]),
                         ('the header of a frame', [0, starts[1] + 3, starts[2]]), ('a byte before a frame', [0, starts[1] - 1,
                                                                                                              starts[2]]),
                         ('the middle of the last frame', [0, starts[1], len(body) - 30])):
        refused('a shard that begins in ' + label, headed(body, shards=moved), 'cut short|LZ4|impossible|what follows')
    whole = file('a', NOISE[:3000])
    pieces = [frame(folder('d')), frame(whole[:1000]), frame(whole[1000:] + tar(x))]
    starts = [0, len(pieces[0]), len(pieces[0] + pieces[1])]
    refused('a shard that begins in the middle of an entry', headed(b''.join(pieces), shards=starts), 'cut short|tar header')
    pieces[1:] = [frame(pax(record('path', 'b'))), frame(whole + tar(x))]
    starts = [0, len(pieces[0]), len(pieces[0] + pieces[1])]
    refused('a shard that begins behind an extended header', headed(b''.join(pieces), shards=starts), 'cut short')

    refused('a file in the first shard', sharded((folder('d'), file('a')), (x,)), wrong)
    refused('a link in the first shard', sharded((folder('d'), symlink('a', 'x')), (x,)), wrong)
    refused('a device node in the first shard', sharded((folder('d'), entry('n', '3')), (x,)), wrong)
    refused('a directory in the second shard', sharded((folder('d'),), (folder('e'), x)), wrong)
    refused('a directory in the last shard', sharded((folder('d'),), (x,), (folder('e'),)), wrong)
    refused('a directory by its slash in the second shard', sharded((), (entry('d/', '\0', mode=0o755, magic=V7), x)), wrong)
    refused('a directory that is not named', sharded((folder('d'),), (file('e/f'), x)), late)
    refused('a directory below one that is not named', sharded((folder('d/e/f'),), (file('d/e/f/g'), x)),
            'No such file|two entries')
    refused('two directories of one name', sharded((folder('d'), folder('d')), (x,)), 'two entries|File exists')
    refused('two files of one name in a shard', sharded((), (file('a', 'x'), file('a', 'y')), (x,)), 'two entries')
    for i in range(5 if EVERY > 1 else 20):
        refused('two files of one name in two shards, %d' % i, sharded((), (file('a', NOISE[:i * 5000]),), (file('a', 'y'),
                                                                                                            x)), 'two entries')
    refused('a file where a directory is', sharded((folder('d'),), (file('d'), x)), 'two entries')
    refused('a link where a directory is', sharded((folder('d'),), (symlink('d', '../canary'), x)), 'two entries')
    refused('a hard link where a file is', sharded((), (file('a', 'x'), file('b', 'y'), hard('b', 'a')), (x,)), 'two entries')
    refused('a hard link to what a later entry is', sharded((), (hard('h', 'a'), file('a')), (x,)), 'No such file')
    refused('a hard link to a directory, in shards', sharded((folder('d'),), (hard('h', 'd'), x)), 'permitted|directory')
    for i in range(4 if EVERY > 1 else 15):  # who is first is a matter of luck; both are good, and nothing else is
        for target in (('../canary', '/proc/self/cwd/canary', 'd')):
            for first, second in ((symlink('l', target), file('l/f', 'x')), (file('l/f', 'x'), symlink('l', target))):
                refused('a link to %s in one shard, a path through it in another, %d' % (target, i),
                        sharded((folder('d'),), (file('1', NOISE[:i * 3000]), first), (file('2', NOISE[:i * 1000]), second)),
                        late)
        image_of = sharded((), (file('1', NOISE[:i * 9000]), file('a', 'x')), (hard('h', 'a'), file('2', 'y')))
        status, said, tree, bad = unpack(image_of)
        good = [s % show(NOISE[:i * 9000]) for s in ('f 644 1 %s',)] + ['f 644 2 y', 'f 644 a x', 'h h = a']
        result(not bad and (status == 0 and sorted(tree) == sorted(s.strip() for s in good) or
                            status == 1 and tree is None and b'No such file' in said),
               'a hard link into another shard is right or refused, %d' % i, status, said, tree, *bad)
    refused('the end of the archive in the middle', headed(*ended(b'\0' * 1024)), 'before the last shard')
    refused('one block of zeros in the middle', headed(*ended(b'\0' * 512)), 'before the last shard')
    refused('no end in the last shard', sharded((), (file('a'),), (x,), end=b''), 'archive is cut short')
    refused('data behind the end in the last shard', sharded((), (file('a'),), (x,), end=b'\0' * 1024 + x), 'follow the end')
    broken = [(file(str(i), NOISE[:100000]), entry('bad', checksum=b'0010000\0')) for i in range(6)]
    for i in range(5 if EVERY > 1 else 40):  # all processes fail at once: one of them says why
        refused('all shards are broken, %d' % i, sharded((), *broken), 'not a tar header')


def ended(zeros):
    body = frame(folder('d')) + frame(file('a') + zeros)
    starts = [0, len(frame(folder('d'))), len(body)]
    body += frame(tar(file('b')))
    return body, lines(body, shards=starts)


# ---- signatures ----------------------------------------------------------------------------------


def signatures():
    """What the launcher with keys refuses: all that is not as it was when it was signed."""
    if not KEYED:
        return
    body = frame(tar(file('a', 'some words')), 0x60) if EVERY > 1 else lz4('-12 -BD', tar(file('a', 'some words')))
    pairs = [p for p in lines(body) if p[0] in ('payload', 'size', 'chunk', 'shard', 'blake3')]
    whole = headed(body, pairs, 'known')
    legal('signed', whole, 'f 644 a some words', who=KEYED)
    n = quickly_refused('signed, each of its bits flipped', (
        ('bit %d' % i, flipped(whole, i))
        for i in range(0, len(whole) * 8, 1 if EVERY == 1 else 8 * EVERY + 1)), rb'.', KEYED)
    print('# %d of %d bits' % (n, len(whole) * 8))
    quickly_refused('signed, cut at each place', (('at %d' % i, whole[:i]) for i in range(0, len(whole), EVERY)), rb'.', KEYED)
    quickly_refused('signed, a byte put in at each place', (('at %d' % i, whole[:i] + whole[i:i + 1] + whole[i:])
                                                            for i in range(0, len(whole), 3 * EVERY)), rb'.', KEYED)

    def bad(what, data, reason):
        refused('signed: ' + what, data, reason, who=KEYED)

    for label, more in (('a zero', b'\0'), ('zeros', b'\0' * 4096), ('erased flash', b'\xff' * 4096), ('a skippable frame',
                                                                                                       skippable()),
                        ('an empty frame', frame(b'')), ('itself', whole), ('the body again', body)):
        bad('%s behind it' % label, whole + more, 'follow its end')
    text = signed_text(pairs)
    comment, rest = text.split(b'\n', 1)
    line, plain = rest.split(b'\n', 1)
    bad('a header in front', skippable(text) + whole, 'follow its end')
    bad('a skippable frame in front', skippable() + whole, 'not signed')
    bad('an empty frame in front', frame(b'') + whole, 'not signed')
    bad('a byte in front', b'\0' + whole, 'not signed')

    other = frame(tar(file('a', 'other words')), 0x60)
    bad('the header of another image', skippable(text) + other, 'follow its end|cut short|does not match')
    same = body[:-4] + bytes([body[-4] ^ 0x80]) + body[-3:]
    bad('the header of another image of the same size', skippable(text) + same, 'chunk 0, .*digest')
    a, b = (frame(tar(file('a', NOISE[i:i + 180000]))) for i in (0, 99))
    for label, mixed in (('the first', b[:65536] + a[65536:]), ('the second', a[:65536] + b[65536:131072] + a[131072:]),
                         ('the last', a[:131072] + b[131072:])):
        bad('%s chunk of another image of the same key' % label, headed(mixed, lines(a), 'known'), 'does not match its digest')
    bad('chunks exchanged', headed(a[65536:131072] + a[:65536] + a[131072:], lines(a), 'known'), 'chunk 0, .*digest')

    def with_signature(new, comment=comment, text=plain):
        return skippable(comment + b'\n' + new + b'\n' + text) + body

    raw = base64.b64decode(line)
    malformed = 'malformed'
    bad('no signature', skippable(comment + b'\n' + plain) + body, malformed)
    bad('an empty signature', with_signature(b''), malformed)
    bad('only a comment', skippable(comment + b'\n') + body, malformed)
    bad('a comment without an end', skippable(comment) + body, malformed)
    bad('a signature of zeros', with_signature(base64.b64encode(raw[:10] + b'\0' * 64)), 'does not match')
    bad('all of it zeros', with_signature(base64.b64encode(b'\0' * 74)), malformed)
    bad('a signature of ones', with_signature(base64.b64encode(raw[:10] + b'\xff' * 64)), malformed)
    for cut in 0, 1, 10, 73:
        bad('a signature of %d bytes' % cut, with_signature(base64.b64encode(raw[:cut])), malformed)
    bad('a signature of 75 bytes', with_signature(base64.b64encode(raw + b'\0')), malformed)
    bad('another algorithm', with_signature(base64.b64encode(b'Ee' + raw[2:])), malformed)
    bad('S plus the order of the group', with_signature(base64.b64encode(raw[:42] + (
        int.from_bytes(raw[42:], 'little') + 2**252 + 27742317777372353535851937790883648493).to_bytes(32, 'little'))),
        malformed)
    for label, new in (('a blank behind it', line + b' '), ('a blank in front', b' ' + line), ('a carriage return',
                                                                                               line + b'\r'),
                       ('no padding', line[:-1]), ('more padding', line + b'='), ('a line in it',
                                                                                  line[:50] + b'\n' + line[50:]),
                       ('bits that count for nothing', line[:-2] + bytes([line[-2] + 1]) + b'=')):
        bad('base64 with ' + label, with_signature(new), malformed + '|does not match')
    bad('the comment changed', with_signature(line, comment + b'!'), "'signed' is not")
    bad('the comment empty', with_signature(line, b'untrusted comment: '), "'signed' is not")
    bad('another comment signed', skippable(sign(text_of([('signed', 'x')] + pairs), 'known')) + body, "'signed' is not")
    bad('no comment signed', skippable(sign(text_of(pairs), 'known')) + body, "'signed' is not")
    bad('a line more', with_signature(line, text=plain + b'future x\n'), 'does not match')
    bad('another order of the lines', with_signature(line, text=plain.replace(b'shard 0\n', b'') + b'shard 0\n'),
        'does not match')
    bad('the text twice', with_signature(line, text=plain * 2), 'does not match')
    bad('an unknown key', headed(body, pairs, 'other'), 'not known here')
    stranger = signed_text(pairs, 'other').split(b'\n')[1]
    bad('another key\'s signature', with_signature(stranger), 'not known here')
    bad('another key\'s signature, with the number of a known one',
        with_signature(base64.b64encode(raw[:10] + base64.b64decode(stranger)[10:])), 'does not match')
    second = signed_text(pairs, 'second').split(b'\n')[1]
    bad('the second key\'s signature, of another text', with_signature(second), 'does not match')
    bad('the second key\'s signature, with the number of the first',
        with_signature(base64.b64encode(raw[:10] + base64.b64decode(second)[10:])), 'does not match')
    bad('what is no header, signed', skippable(sign(b'hello\n', 'known')) + body, 'first line')
    bad('nothing, signed', skippable(sign(b'', 'known')) + body, 'first line')
    bad('a signature of a signature', skippable(sign(text, 'known')) + body, 'first line')
    for label, data in (('a plain image', frame(SMALL)), ('a header without a signature', headed(body, pairs)),
                        ('nothing', b''),
                        ('noise', NOISE[:5000]), ('a legacy image', legacy(SMALL)), ('a bare tar', SMALL),
                        ('a skippable frame of 4 GiB', le32(0x184D2A50) + le32(0xFFFFFFFF) + b'untrusted'),
                        ('a signed header in another skippable frame', skippable(text, 0x184D2A51) + body)):
        refused('with keys: ' + label, data, 'not signed', who=KEYED)
    for what, reason, mutate in (('a size that lies', 'follow its end', {'size': len(body) - 1}), ('chunks of 3', 'impossible',
                                                                                                   {'chunk': 3}),
                                 ('another payload', 'kind', {'payload': 'x'})):
        bad(what, headed(body, [(k, mutate.get(k, v)) for k, v in pairs], 'known'), reason)
    bad('a broken archive', headed(frame(SMALL[:700]), key='known'), 'cut short')
    bad('a path upwards', headed(image(file('../canary/f', 'x')), key='known'), r"'\.\.'")


# ---- much ----------------------------------------------------------------------------------------


def heavy():
    """Bombs, depth, holes: only for the launcher as it ships."""
    if EVERY > 1:
        return

    def made(what, data, check):
        with open('x.img', 'wb') as f:
            f.write(data)
        p = subprocess.run(command + ['unpack', 'x.img', 'out'], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                           timeout=LIMIT)
        result(p.returncode == 0 and check(), what, p.returncode, p.stderr)
        remove('out')

    def blocks(name):
        return os.stat('out/' + name).st_blocks

    half = file('a', size=1 << 29)[:512]
    p = subprocess.run(['lz4', '-q', '-c', '-B4', '-BD'], input=half + b'\0' * ((1 << 29) + 1024), stdout=subprocess.PIPE,
                       check=True)
    made('512 MiB of zeros are a hole', p.stdout, lambda: os.stat('out/a').st_size == 1 << 29 and blocks('a') < 64)
    del p
    for label, data, most in (('in front', b'\0' * 1000000 + b'x' * 4096, 24), ('at the end', b'x' * 4096 + b'\0' * 1000001,
                                                                                24),
                              ('in the middle', b'x' + b'\0' * 3000000 + b'y', 32), ('everywhere', (b'\0' * 8191 + b'z') * 100,
                                                                                     8 * 100 + 8),
                              ('of less than a page', (b'x' + b'\0' * 4095) * 50, 8 * 50 + 8), ('only', b'\0' * 70000, 0)):
        for kind, pack in (('64 KiB', '-B4 -BD'), ('4 MiB', '-B7')):
            made('a hole %s, blocks of %s' % (label, kind), lz4(pack, tar(file('a', data))),
                 lambda: open('out/a', 'rb').read() == data and blocks('a') <= most)
    made('a hole and a hard link to it', image(file('a', b'\0' * 999999), hard('b', 'a')),
         lambda: os.stat('out/b').st_size == 999999 and blocks('b') == 0)
    many = b''.join(file('d%d/%d' % (i // 1000, i)) for i in range(100000))
    made('100,000 entries', lz4('-B4 -BD', many + b'\0' * 1024),
         lambda: sum(len(names) for _, _, names in os.walk('out')) == 100000)
    bad = lz4('-B4 -BD', many + b'x' * 512)
    refused('100,000 entries, all taken away again', bad, 'not a tar header')
    made('60,000 hard links', lz4('-B4 -BD', tar(file('a', 'x'), *[hard('h%d' % i, 'a') for i in range(60000)])),
         lambda: os.stat('out/a').st_nlink == 60001)
    deep = 'd/' * 2030
    made('2030 levels', image(pax(record('path', deep + 'f')), file('s', 'x')),
         lambda: os.stat('out/' + deep + 'f').st_size == 1)
    refused('2030 levels, taken away again', image(pax(record('path', deep + 'f')), file('s', 'x'), file('..')), 'path')
    refused('10,000 levels', image(pax(record('path', 'd/' * 10000 + 'f')), file('s', 'x')), 'no proper path')
    levels = [pax(record('path', 'd/' * i)) + folder('s') for i in range(1, 2031)]
    made('2030 levels, each an entry', image(*levels), lambda: os.path.isdir('out/' + deep))
    with open('x.img', 'wb') as f:
        f.write(lz4('-B4 -BD', tar(file('a', NOISE), file('b', NOISE))))
    # Pages of 4 KiB: 192,000 bytes are 47 of them, and two such files and the root 94.
    for pages, status in (94, 0), (93, 1), (48, 1), (47, 1), (1, 1):
        os.mkdir('small')
        script = 'mount -t tmpfs -o size=%dk none small && "$@" unpack x.img small/out; echo $?; ls small' % (4 * pages)
        p = subprocess.run(['unshare', '-m', 'sh', '-c', script, 'sh'] + command, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=LIMIT)
        result(p.stdout == (b'0\nout\n' if status == 0 else b'1\n') and p.stderr.count(b'\n') == status,
               'a tmpfs of %d pages' % pages, p.stdout, p.stderr)
        os.rmdir('small')


# ---- devices -------------------------------------------------------------------------------------


def devices():
    """A device is larger than the image in it."""
    try:
        with open('probe', 'wb') as f:
            f.write(b'\0' * 65536)
        p = subprocess.run(['losetup', '-f', '--show', 'probe'], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        why = p.stderr.decode().strip() or 'no device'
    except FileNotFoundError:
        p, why = None, 'no losetup'
    if p and p.returncode == 0:
        subprocess.run(['losetup', '-d', p.stdout.decode().strip()], check=True)
    os.unlink('probe')
    if not p or p.returncode:
        print('ok %d - images in a device # SKIP %s' % (skipped(), why.replace('\n', ' ')))
        return

    def on_device(data):
        with open('backing', 'wb') as f:
            f.write(data + b'\xff' * (-len(data) % 512))
        device = subprocess.run(['losetup', '-f', '--show', 'backing'], stdout=subprocess.PIPE,
                                check=True).stdout.decode().strip()
        try:
            p = subprocess.run(who + ['unpack', device, 'out'], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=LIMIT)
        finally:
            subprocess.run(['losetup', '-d', device], check=True)
            os.unlink('backing')
        tree = listing('out') if os.path.lexists('out') else None
        if tree is not None:
            remove('out')
        return p.returncode, p.stderr, tree

    want = sorted(line.strip() for line in SMALL_TREE.split('\n'))
    body, starts = shards_of((folder('d'),), (file('a', 'some words'),), (file('d/b', 'more'),))
    images = [('no header', frame(SMALL), command), ('legacy', legacy(SMALL), command), ('a header', headed(frame(SMALL)),
                                                                                         command),
              ('a header and shards', headed(body, shards=starts), command)]
    if KEYED:
        images.append(('a signature', headed(body, shards=starts, key='known'), KEYED))
    for label, data, who in images:
        for what, fill in ('zeros', b'\0'), ('erased flash', b'\xff'):
            status, said, tree = on_device(data + fill * (200000 + -(len(data) + 200000) % 512))
            result(status == 0 and sorted(tree or []) == want, 'a device: %s, then %s' % (label, what), status, said, tree)
        fill = NOISE[:200000 - len(data)]
        status, said, tree = on_device(data + fill)
        if label in ('no header', 'legacy'):
            result(status == 1 and tree is None, 'a device: %s, then noise, is refused' % label, status, said, tree)
        else:
            result(status == 0 and sorted(tree or []) == want, 'a device: %s, then noise' % label, status, said, tree)
    who = command
    for label, data in (('zeros', b'\0' * 65536), ('erased flash', b'\xff' * 65536), ('noise', NOISE[:65536]),
                        ('an image that is cut', frame(tar(file('a', NOISE)))[:131072]),
                        ('an image with a header that is cut', headed(frame(tar(file('a', NOISE))))[:131072])):
        status, said, tree = on_device(data)
        result(status == 1 and tree is None and said.count(b'\n') == 1, 'a device: %s is refused' % label, status, said, tree)


def skipped():
    global count
    count += 1
    return count


# ---- verify and inspect --------------------------------------------------------------------------


def verbs():
    """verify and inspect, with the names of files that somebody else has chosen."""
    if not VERIFIES:
        print('ok %d - verify and inspect # SKIP qemu-user knows neither clone3 nor namespaces' % skipped())
        return
    result(not differ, 'verify says what run says', *differ[:10])
    small = frame(SMALL)
    large = frame(tar(file('a', NOISE * 2)))
    for what, data, reason in (
            ('of another machine', headed(small, [('arch', 'sparc')] + lines(small)), 'it is for sparc, and this is'),
            ('for a newer kernel', headed(small, [('kernel', '99.1')] + lines(small)), 'it needs Linux 99.1, and this is'),
            ('larger than the limit', headed(small, unpacked=10**15), 'when it is unpacked, and the limit is'),
            ('larger than it says', headed(large), 'a: No space left on device'),
            ('with more entries than it says', headed(image(*[fifo('%d' % i) for i in range(999)])), 'No space left on device'),
            ('of owners who have no number there', image(file('a', uid=65536)), 'a: Invalid argument')):
        with open('x.img', 'wb') as f:
            f.write(data)
        del differ[:]
        verify_too(command, data, 0)
        p = subprocess.run(command + ['verify', '--json', 'x.img'], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        got = document(p.stdout)
        result(p.returncode == 1 and got and not got[0]['ok'] and reason in got[0]['why'] and not differ,
               'an image %s: verify refuses it, and run' % what, p.stdout, p.stderr, *differ)
    for key in 'unpacked', 'entries':
        with open('x.img', 'wb') as f:
            f.write(headed(large, **{'unpacked': 2**19, key: None}))
        p = subprocess.run(command + ['run', 'x.img', '--', '/none'], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        result(b'/none: No such file' in p.stderr, 'a header without %s: the limit of the row counts' % key, p.stderr)
        verify_too(command, headed(large), 0)
    result(not differ, 'and for verify', *differ)
    odd = (file('a\nb', 'x'), file('\033[31m'), file(b'\xff\xfe'), file('"\\'), file('%n%s'), file('\u00e4\u202e'),
           symlink('l', '"\n'),
           file('t\tt'), hard('h', '%n%s'), fifo('p'), folder('d', 0o1755), entry('n', '3'), file('s', mode=0o4711))
    body, starts = shards_of((folder('d', 0o1755),), odd[:4] + odd[5:8], [odd[4], odd[8], odd[9], *odd[11:]])
    pairs = [('version', '1.2'), ('entry', '/a "b"'), ('entry', '-c'), ('env', b'A=\xff\\'), ('cwd', '/'), ('user', '1:2')]
    names = {'a\nb', '\033[31m', '"\\', '%n%s', '\u00e4\u202e', 't\tt', 'l', 'h', 'p', 'd', 'n', 's'}

    def say(who, *words):
        p = subprocess.run(who + list(words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           timeout=LIMIT)
        return p.returncode, p.stdout, p.stderr

    samples = [('plain', image(*odd), command, 'nobody'), ('header', headed(body, pairs + lines(body, shards=starts)), command,
                                                           'nobody')]
    if KEYED:
        samples += [('signed', headed(body, pairs + lines(body, shards=starts), 'known'), KEYED,
                     'key [0-9a-f]{16}, known here'),
                    ('stranger', headed(body, pairs + lines(body, shards=starts), 'other'), command,
                     'key [0-9a-f]{16}, not checked here')]
    os.chmod('.', 0o755)
    for label, data, who, signer in samples:
        def number(got):
            return re.fullmatch('[0-9a-f]{16}' if 'key' in signer else '', got['signer']) and \
                got['trusted'] is signer.endswith(', known here')
        with open('x.img', 'wb') as f:
            f.write(data)
        os.chmod('x.img', 0o644)
        nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
        for whom, run in ('root', who), ('an ordinary user', nobody + who):
            status, out, err = say(run, 'verify', 'x.img')
            result(status == 0 and re.fullmatch('x\\.img: ok; signer: %s[^\n]*\n' % signer, out.decode()),
                   'verify, %s, %s' % (label, whom),
                   status, out, err)
            status, out, err = say(run, 'verify', '--json', 'x.img')
            got = document(out)
            result(status == 0 and got and len(got) == 1 and list(got[0]) == ['file', 'ok', 'signer', 'trusted'] and
                   got[0]['ok'] is True and number(got[0]), 'verify --json, %s, %s' % (label, whom), status, out, err)
            status, out, err = say(run, 'inspect', 'x.img')
            result(status == 0 and re.search('^signer +%s' % signer, out.decode(), re.M) and
                   not re.search(rb'[\0-\010\013-\037]', out),
                   'inspect, %s, %s' % (label, whom), status, out, err)
            status, out, err = say(run, 'inspect', '-l', 'x.img')
            result(status == 0 and len(out.splitlines()) == (16 if label == 'plain' else len(out.splitlines())) and
                   not re.search(rb'[\0-\010\013-\037]', out) and b'hrw' in out and out.decode(),
                   'inspect -l, %s, %s' % (label, whom),
                   status, out, err)
            status, out, err = say(run, 'inspect', '--json', 'x.img')
            got = document(out)
            good = status == 0 and got and len(got) == 1 and number(got[0]) and got[0]['file'] == 'x.img'
            if label != 'plain':
                says = {'version': '1.2', 'entry': ['/a "b"', '-c'], 'env': ['A=\ufffd\\'], 'shard': starts, 'size': len(body)}
                good = good and all(got[0].get(k) == v for k, v in says.items()) and re.fullmatch('[0-9a-f]{64}',
                                                                                                  got[0]['digest'])
            result(good, 'inspect --json, %s, %s' % (label, whom), status, out, err)
            status, out, err = say(run, 'inspect', '-l', '--json', 'x.img')
            got = document(out)
            good = status == 0 and got and len(got) == 14
            if good:
                paths = {e['path']: e for e in got[1:]}
                plain = {n for n in names if n.isprintable() and '\u202e' not in n}
                good = len(paths) == 13 and plain <= set(paths) and '\ufffd\ufffd' in paths and \
                    paths['s']['mode'] == '-rws--x--x' and paths['d']['mode'] == 'drwxr-xr-t' and \
                    paths['s']['size'] == 0 and paths['h']['link'] == '%n%s' and \
                    all(list(e) == ['mode', 'owner', 'size', 'path', 'link'] and e['owner'] == '0:0' for e in got[1:])
            result(good, 'inspect -l --json, %s, %s' % (label, whom), status, out, err)
    # What is refused, and what inspect says of it all the same.
    bad = headed(frame(SMALL[:700]))
    with open('x.img', 'wb') as f:
        f.write(bad)
    status, out, err = say(command, 'verify', '--json', 'x.img')
    got = document(out)
    result(status == 1 and got and got[0]['ok'] is False and 'cut short' in got[0]['why'] and not err,
           'verify --json, refused', status, out, err)
    status, out, err = say(command, 'verify', 'x.img')
    result(status == 1 and not out and re.fullmatch(rb'launcher: x\.img: [^\n]*cut short[^\n]*\n', err), 'verify, refused',
           status, out, err)
    status, out, err = say(command, 'inspect', 'x.img')
    result(status == 0 and b'chunk' in out, 'inspect reads the header alone', status, out, err)
    status, out, err = say(command, 'inspect', '-l', 'x.img')
    result(status == 1 and b'cut short' in err, 'inspect -l, refused', status, out, err)
    with open('x.img', 'wb') as f:
        f.write(image(file('a', 'x'), file('../\033]0;x', 'y')))
    status, out, err = say(command, 'inspect', '-l', '--json', 'x.img')
    result(status == 1 and document(out) and b'\033' not in out + err, 'inspect -l --json, a path upwards', status, out, err)
    if KEYED:
        with open('x.img', 'wb') as f:
            f.write(headed(frame(SMALL), key='other'))
        status, out, err = say(KEYED, 'inspect', '-l', 'x.img')
        result(status == 0 and b'not known here' in out, 'inspect -l, a stranger\'s image', status, out, err)
        status, out, err = say(KEYED, 'verify', 'x.img')
        result(status == 1 and b'not known here' in err, 'verify, a stranger\'s image', status, out, err)
    status, out, err = say(command, 'verify', '/proc/self/mem')
    result(status == 1 and re.search(rb'reading: .*error', err), 'a read error is one', status, out, err)


def names():
    """A row of a launcher with keys takes the image that has the name of its file, as images/pack gives it."""
    if not KEYED or not VERIFIES:
        return
    small = frame(SMALL)

    def verified(what, path, reason=None):
        p = subprocess.run(KEYED + ['verify', path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT)
        result(p.returncode == (1 if reason else 0) and (reason or ': ok;') in (p.stderr if reason else p.stdout).decode(),
               'a row and its image: ' + what, p.returncode, p.stdout, p.stderr)

    subprocess.run([PACK, 'canary', '--key', KEYRING + '/known.sec', '-o', 'web-1.2.img'], check=True)
    verified('packed as usual', 'web-1.2.img')
    os.rename('web-1.2.img', 'new.img')
    verified('of a file with another name', 'new.img')
    for name in 'web', 'web-1', 'web-1.2.', 'web-1.2.img', 'web-1.22', '', None:
        with open('web-1.2.img', 'wb') as f:
            f.write(headed(small, key='known', name=name))
        verified('the name %s' % name, 'web-1.2.img',
                 "it is the image '%s', and not that of this row" % ('without a name' if name is None else name))
    os.rename('web-1.2.img', 'x.img')
    verified('no name, for `run`', 'x.img')
    os.unlink('new.img')


def document(out):
    """The objects in it, one a line; None: it is not JSON, or a name is there twice."""
    def once(pairs):
        if len({k for k, _ in pairs}) != len(pairs):
            raise ValueError('a member is there twice: %s' % pairs)
        return dict(pairs)

    try:
        return [json.loads(line, object_pairs_hook=once) for line in out.decode().splitlines()]
    except ValueError as e:
        print('# %s' % e)
        return None


def everybodys():
    """Who is not root gets the modes of directories too, and fills those that nobody may write or enter."""
    if not VERIFIES:
        return  # the program is for another machine, and its emulator is not in front of it
    many = [folder('w', 0o1777), folder('r', 0o555, mtime=7), file('r/a', 'x'), folder('r/n', 0, mtime=8), folder('r/n/m', 0o600),
            file('r/n/m/a', 'y'), folder('s', 0o2750), folder('o', 0), file('o/p/a'), folder('o', 0o711), folder('g', 0),
            folder('./', 0o755), file('r/n/b', 'z'), folder('h', 0o500), folder('i/j', 0o444), folder('i', 0o111)]
    once = [e for i, e in enumerate(many) if i not in (7, 8)]  # with shards, no name is there twice
    is_file = [e for e in once if e[156:157] == b'0']
    tree = """d 755 .
              d 1777 w\n d 555 r @7\n f 644 r/a x\n d 0 r/n @8\n d 600 r/n/m\n f 644 r/n/m/a y\n d 2750 s\n d 711 o
              d 755 o/p @now\n f 644 o/p/a\n d 0 g\n f 644 r/n/b z\n d 500 h\n d 111 i\n d 444 i/j"""
    body, starts = shards_of(sorted(e for e in once if e not in is_file), is_file)
    nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
    os.mkdir('theirs')
    os.chmod('.', 0o755)
    os.chown('theirs', 65534, 65534)
    for what, data, lacks in ('an archive', image(*many), ()), ('shards', headed(body, shards=starts), ('o/p',)):
        with open('x.img', 'wb') as f:
            f.write(data)
        os.chmod('x.img', 0o644)
        p = subprocess.run(nobody + command[-1:] + ['unpack', 'x.img', 'theirs/out'], stderr=subprocess.PIPE, timeout=LIMIT)
        want = sorted(line.strip() for line in tree.split('\n') if not any(word in line for word in lacks))
        got = sorted(line.replace(' #65534:65534', '') for line in listing('theirs/out')) if not p.returncode else None
        result(got == want and not p.stderr, 'unpacked by an ordinary user, %s: modes' % what, p.stderr,
               'missing: %s' % sorted(set(want) - set(got or [])), 'unexpected: %s' % sorted(set(got or []) - set(want)))
        remove('theirs/out')
    with open('x.img', 'wb') as f:
        f.write(frame(SMALL))
    remove('theirs')


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
    for label, name, words in (('a file that is not there', 'none.img', b'No such file'), ('a directory', 'canary',
                                                                                           b'canary: '),
                               ('a FIFO', 'fifo', b'fifo: ')):
        if name == 'fifo':
            os.mkfifo('fifo')
        status, said = run('unpack', name, 'out')
        result(status == 1 and words in said and said.count(b'\n') == 1 and not os.path.lexists('out')
               and not os.path.lexists('out.partial'), 'refused: %s as image' % label, status, said)
    status, said = run('unpack', 'x.img', 'nowhere/out')
    result(status == 1 and b'nowhere/out' in said and said.count(b'\n') == 1, 'refused: a place that is not there', status,
           said)
    everybodys()
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


# ---- seeds ---------------------------------------------------------------------------------------


def seeds():
    """For tests/fuzz, by target: a few images of each kind, and the words that they are made of."""
    def keep(target, *inputs):
        os.makedirs(os.path.join(SEEDS, target), exist_ok=True)
        for data in inputs:
            with open(os.path.join(SEEDS, target, hashlib.sha1(data).hexdigest()), 'wb') as f:
                f.write(data)

    body = frame(SMALL, 0x60)
    pairs = lines(body, shards=(0, 20))
    more = [('version', '1.2'), ('arch', 'armv7'), ('kernel', '5.10'), ('entry', '/init'), ('entry', 'x'), ('env', 'A=b'),
            ('cwd', '/'), ('user', '1:2'), ('future', '')]
    nobody = b'untrusted comment: x\n' + base64.b64encode(b'Ed' + b'\0' * 72) + b'\n'
    keep('header', skippable(text_of(pairs)) + body, skippable(text_of(more + pairs)) + body, body, skippable() + body,
         skippable(nobody + text_of([('signed', 'x')] + more + pairs)) + body, skippable(nobody + text_of(pairs)) + body)

    full = [p for p in pairs if p[0] != 'shard'] + [('shard', i) for i in range(16)]
    keep('header', *[skippable(text_of(k * 31 + full)) + body for k in ([('entry', 'x')], [('env', 'x')])])
    short = TEXT[:3000] + NOISE[:300] + b'\0' * 3000
    keep('frames', body, header(0x70) + stored(short, True) + END_MARK, header(0x74) + END_MARK + le32(0), legacy(SMALL, 500),
         legacy(SMALL) + body, header(0x44, 0x70, 5) + stored(b'xxxxx') + END_MARK + le32(0),
         skippable() + body + skippable(b''),
         *[lz4('--no-frame-crc ' + o, short) for o in ('-B4', '-B5 -BD', '-B6 -BX', '-B7 -BD', '-B32 -BD',
                                                       '--content-size -B100 -BX')],
         lz4('-l', short), header(0x40, 0x60) + block(sequences((b'ab', 2,
                                                                 300000))[0]) + block(b'\x0f\xff\xff\xff\0\0') + END_MARK)
    keep('block', literals(b'x'), literals(SMALL), sequences((b'abc', 3, 5), last=b'12345')[0], sequences((b'a', 1, 200000),
                                                                                                          last=b'12345')[0],
         sequences((NOISE[:300], 300, 19), (b'', 17, 4), (NOISE[:15], 1, 274), last=b'12345678')[0],
         sequences(*[(b'ab', 2, 131072)] * 6, last=b'12345')[0],
         sequences(*[(b'ab', 2, 131068)] * 8, last=b'12345')[0])

    name = 'd/' + 'n' * 120
    kinds = (file('a', 'x' * 600), folder('d', 0), file('d/b', b'\0' * 9000 + b'y'), symlink('l', '../canary'),
             hard('h', 'd/b'), fifo('p'),
             entry('n', '3'), pax(record('path', name), record('mtime', '-1.5'), record('uid', 5), record('size', 2)),
             file('s', 'xy'),
             long_name(name), file('s', magic=GNU), long_name(name, 'K'), symlink('m', 'x', magic=GNU),
             pax(record('comment', 'x'), kind='g'),
             pax(record('SCHILY.xattr.user.a', 'b')), file('t', 'x', uid=base256(3, 8)), file('d', prefix='e'),
             file('a', 'again'),
             entry('v/', '\0', magic=V7), file('l/f', 'x'), file('../canary', 'x'), hard('h', '../canary'), symlink('l', '/'))
    for how in range(8):
        way = bytes([how])
        keep('tar', way + tar(*FOLDERS), way + tar(*kinds[:15]), way + tar(*kinds[15:]), *[way + tar(k) for k in kinds])
    for later in file('l', 'x'), folder('l', 0o700), hard('l', 'k'), symlink('l', 'x'), fifo('l'), file('l/f'), hard('h', 'l'):
        keep('tar', b'\0' + tar(symlink('l', '../canary'), file('k'), later))
    packed = lz4('-12 -B4 -BD --no-frame-crc', tar(*kinds[:15]))
    plain = b''.join(frame(b''.join(g), 0x60) for g in (FOLDERS, FILES[1:3], (tar(file('z', NOISE[:5000]), hard('y', 'z')),)))
    starts = [0, len(frame(b''.join(FOLDERS), 0x60))]
    starts.append(starts[1] + len(frame(b''.join(FILES[1:3]), 0x60)))
    two = struct.pack('<2H', *starts[:2]) + plain[:starts[2]] + frame(b'\0' * 1024, 0x60)
    keep('image', b'\0' + packed, b'\0' + body, b'\1\0\0' + packed, b'\0' + legacy(SMALL, 1000),
         b'\3' + struct.pack('<3H', *starts) + plain, b'\2' + two,
         b'\0' + header(0x40, 0x70) + block(literals(SMALL)) + END_MARK)

    words = {'tar': [USTAR, GNU, V7, b'../canary', b'path=', b'linkpath=', b'size=', b'mtime=', b'uid=', b'SCHILY.xattr.user.',
                     b'GNU.sparse.',
                     b'9 size=1\n', b'12 path=a/b\n', b'00000001000\0', b'\x80\0\0\0\0\0\0\0\0\0\0\1', b'\xff' * 12,
                     b'\0' * 512],
             'header': [b'launcher-image 1\n', b'untrusted comment: ', b'blake3 ' + b'0' * 64 + b'\n',
                        b'size 1000\n'] +
                       [k.encode() + b' x\n' for k in ('signed', 'name', 'entry', 'env', 'chunk', 'shard', 'payload',
                                                       'unpacked')],
             'frames': [le32(0x184D2204), le32(0x184C2102), le32(0x184D2A50), le32(0x184D2A5F), END_MARK, b'\xff' * 16],
             'block': [b'\xff' * 8, b'\xff' * 64, b'\xf0\xff', b'\x0f\1\0\xff', b'\1\0', b'\xff\xff']}
    words['image'] = words['tar'] + words['frames']
    for target, some in words.items():
        with open(os.path.join(SEEDS, target + '.dict'), 'w') as f:
            for word in some:
                f.write('"%s"\n' % ''.join('\\x%02x' % b for b in word))


def inside(place, *parts):
    """Runs them in a directory of their own, with a canary in it."""
    base = tempfile.mkdtemp(dir=place)
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
        for part in parts:
            part()
    finally:
        os.chdir('/')
        remove(base)


def main():
    global VERIFIES
    os.umask(0o022)
    if SEEDS:
        seeds()
        return 0
    with tempfile.NamedTemporaryFile() as f:
        f.write(frame(SMALL))
        f.flush()
        p = subprocess.run(command + ['verify', f.name], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        VERIFIES = b'a process to unpack in: Invalid argument' not in p.stderr
    inside(None, legal_frames, refused_frames, legal_archives, legal_from_tools, refused_archives, large_blocks, legal_headers,
           refused_headers, refused_shards, signatures, devices, verbs, names, places)
    # In memory, where the root of a container is too; disks are slow to make and remove so much.
    inside('/dev/shm' if os.access('/dev/shm', os.W_OK) else None, heavy)
    print('1..%d' % count)
    return failed != 0


sys.exit(main())
