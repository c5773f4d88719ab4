/*
 * unpack - how long does unpacking take at least?
 *
 * takes: IMAGE... DIR, an empty directory; each image is unpacked by a process of its own, all
 * at once
 *
 * It believes what it reads: no checksum, no bound and no path is looked at, so nothing but a
 * measurement may use it. What is left is the work that no unpacker gets around: LZ4 blocks are
 * decoded, and entries made, with their mode and the owner if it is not root. They get no times.
 */

#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lz4.h"

enum {
	FRAME_MAGIC = 0x184D2204,
	SKIP_MAGIC = 0x184D2A50, /* and the fifteen after it */
	HISTORY = 64 << 10,      /* what a linked block may refer back to */
	WINDOW = HISTORY + (4 << 20),
	RECORD = 512, /* of tar; no block or frame of LZ4 ends within one */
	DEPTH = 256,
};

static void check(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

/* ---- the archive in the frames -------------------------------------------------------------- */

static struct {
	const uint8_t *at, *end;
	int inside, linked;
	size_t block_max, block_sum, content_sum;
} in;

static struct {
	uint8_t window[WINDOW];
	size_t at, end;
} out;

static uint32_t le32(const uint8_t *p)
{
	return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

static void image_map(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY);

	check(fd >= 0 && !fstat(fd, &st), path);
	in.at = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	check(in.at != MAP_FAILED, path);
	in.end = in.at + st.st_size;
	close(fd);
}

static void frame_enter(void)
{
	unsigned flags = in.at[4];

	check(le32(in.at) == FRAME_MAGIC, "not a standard LZ4 frame");
	in.inside = 1;
	in.linked = !(flags & 0x20);
	in.block_max = (size_t)1 << (8 + 2 * (in.at[5] >> 4));
	in.block_sum = flags & 0x10 ? 4 : 0;
	in.content_sum = flags & 4 ? 4 : 0;
	in.at += flags & 8 ? 15 : 7;
	out.at = out.end = 0;
}

/* Decodes the next block behind the one before, as long as they fit a window that stays small. */
static void block_decode(size_t n, int stored)
{
	size_t most = HISTORY + (in.block_max < 4 * HISTORY ? 4 * HISTORY : in.block_max);

	if (!in.linked || out.end + in.block_max > most) {
		size_t keep = !in.linked ? 0 : out.end < HISTORY ? out.end : HISTORY;
		memmove(out.window, out.window + out.end - keep, keep);
		out.end = keep;
	}
	uint8_t *to = out.window + out.end;
	int seen = out.end < HISTORY ? (int)out.end : HISTORY, made = (int)n;
	if (stored)
		memcpy(to, in.at, n);
	else
		made = LZ4_decompress_safe_usingDict((const char *)in.at, (char *)to, made,
						     (int)in.block_max, (char *)to - seen, seen);
	check(made > 0, "a block does not decode");
	in.at += n + in.block_sum;
	out.at = out.end;
	out.end += made;
}

/* At most n bytes of the archive, at least one; *n is how many. NULL at its end. */
static const uint8_t *take(size_t *n)
{
	while (out.at == out.end && in.at < in.end) {
		uint32_t word = le32(in.at);
		if (in.inside && word) {
			in.at += 4;
			block_decode(word & 0x7fffffff, word >> 31);
		} else if (in.inside) {
			in.inside = 0;
			in.at += 4 + in.content_sum;
		} else if (word >> 4 == SKIP_MAGIC >> 4) {
			in.at += 8 + le32(in.at + 4);
		} else {
			frame_enter();
		}
	}
	const uint8_t *p = out.window + out.at;
	if (*n > out.end - out.at)
		*n = out.end - out.at;
	out.at += *n;
	return *n ? p : NULL;
}

/* The next n bytes, to a file, a buffer, or neither. */
static void copy(uint64_t n, int fd, char *to)
{
	for (size_t piece; n; n -= piece) {
		piece = n < WINDOW ? n : WINDOW;
		const uint8_t *p = take(&piece);
		check(!!p, "the archive is cut short");
		check(fd < 0 || write(fd, p, piece) == (ssize_t)piece, "write");
		if (to)
			to = mempcpy(to, p, piece);
	}
}

/* ---- the entries in the archive --------------------------------------------------------------- */

struct tar { /* the header of an entry */
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100];
	char magic[8], user[32], group[32], major[8], minor[8], prefix[155], pad[12];
};

static int root;
static char path[2 * PATH_MAX], target[2 * PATH_MAX]; /* of the next entry, if not empty */

/* The directories that lead to the latest entry stay open: most of them lead to the next one. */
static struct {
	char path[2 * PATH_MAX];
	int depth, fd[DEPTH];
	size_t end[DEPTH]; /* of each one's name in path */
} dirs;

/* The open directory of the entry, whose last name is *leaf. */
static int parent_open(const char *of, const char **leaf)
{
	int d = 0;

	while (d < dirs.depth && !strncmp(of, dirs.path, dirs.end[d]) && of[dirs.end[d]] == '/')
		d++;
	while (dirs.depth > d)
		close(dirs.fd[--dirs.depth]);
	const char *name = d ? of + dirs.end[d - 1] + 1 : of;
	for (const char *slash; (slash = strchr(name, '/')); name = slash + 1, d++) {
		char *copied = dirs.path + (name - of);
		dirs.end[d] = slash - of;
		memcpy(copied, name, slash - name + 1);
		copied[slash - name] = '\0';
		dirs.fd[d] = openat(d ? dirs.fd[d - 1] : root, copied, O_PATH | O_DIRECTORY);
		copied[slash - name] = '/';
		check(dirs.fd[d] >= 0, of);
		dirs.depth = d + 1;
	}
	*leaf = name;
	return d ? dirs.fd[d - 1] : root;
}

static uint64_t number(const char *field, size_t size)
{
	uint64_t n = 0;

	for (; size && *field; field++, size--)
		if (*field != ' ')
			n = n * 8 + (*field - '0');
	return n;
}
#define NUMBER(field) number(field, sizeof(field))

/* An extended header says something about the next entry: its names, if they are long. */
static void entry_meta(uint64_t size)
{
	static char pax[1 << 20];

	copy(size, -1, pax);
	for (char *r = pax, *end; r < pax + size; r = end) {
		end = r + strtoul(r, &r, 10);
		end[-1] = '\0';
		if (!strncmp(r, " path=", 6))
			strcpy(path, r + 6);
		else if (!strncmp(r, " linkpath=", 10))
			strcpy(target, r + 10);
	}
}

static void entry_make(const struct tar *h, uint64_t size)
{
	unsigned mode = NUMBER(h->mode), uid = NUMBER(h->uid), gid = NUMBER(h->gid);
	const char *leaf, *of = path + 2 * !strncmp(path, "./", 2);
	const char *to = target + 2 * (h->type == '1' && !strncmp(target, "./", 2));
	int dir = parent_open(of, &leaf), fd = -1, failed = 0;
	char type = h->type;

	if (!*leaf || type == '3' || type == '4')
		return; /* the root, and device nodes, which the launcher leaves out too */
	if (type == '0') {
		fd = openat(dir, leaf, O_WRONLY | O_CREAT | O_EXCL, mode);
		check(fd >= 0, of);
		copy(size, fd, NULL);
	} else if (type == '5') {
		mkdirat(dir, leaf, mode); /* or it is there: another image has it too */
	} else if (type == '2') {
		failed = symlinkat(to, dir, leaf);
	} else if (type == '1') {
		failed = linkat(root, to, dir, leaf, 0);
	} else {
		check(type == '6', "an entry of an unknown type");
		failed = mknodat(dir, leaf, S_IFIFO | mode, 0);
	}
	if (type != '1' && (uid || gid))
		failed |= fchownat(dir, leaf, uid, gid, AT_SYMLINK_NOFOLLOW);
	if (mode & 06000 && (type == '5' || (type == '0' && (uid || gid))))
		failed |= fchmodat(dir, leaf, mode, 0);
	check(!failed, of);
	if (fd >= 0)
		close(fd);
}

static void unpack(const char *image)
{
	size_t n = RECORD;
	const struct tar *h;

	image_map(image);
	for (; (h = (const void *)take(&n)) && *h->name; n = RECORD) {
		uint64_t size = NUMBER(h->size);
		if (h->type == 'x') {
			entry_meta(size);
		} else {
			if (!*path)
				sprintf(path, "%.155s%s%.100s", h->prefix, *h->prefix ? "/" : "",
					h->name);
			if (!*target)
				sprintf(target, "%.100s", h->link);
			if (path[strlen(path) - 1] == '/')
				path[strlen(path) - 1] = '\0';
			entry_make(h, size);
			*path = *target = '\0';
		}
		copy(-size % RECORD, -1, NULL);
	}
}

int main(int argc, char **argv)
{
	int status, failed = 0;

	check(argc > 2, "usage: floor IMAGE... DIR");
	root = open(argv[argc - 1], O_PATH | O_DIRECTORY);
	check(root >= 0, argv[argc - 1]);
	umask(0);
	for (int i = 2; i < argc - 1; i++)
		if (!fork()) {
			unpack(argv[i]);
			_exit(0);
		}
	unpack(argv[1]);
	while (wait(&status) > 0)
		failed |= status;
	return !!failed;
}
