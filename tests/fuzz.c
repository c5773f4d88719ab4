/*
 * fuzz.c - what reads an image, fed by libFuzzer. The environment's TARGET says which part, and
 * SCRATCH names an empty directory:
 *
 *   header  bytes are a whole image: whose header is read, with a key and without
 *   frames  bytes are an image without a header: decoded to its end, twice, over other rubbish
 *   block   bytes are one LZ4 block: in pieces it becomes what the library makes of it
 *   tar     the first byte says how, the rest is the archive: unpacked beside a canary
 *   image   the first byte says how many shards, then where they begin, then all that follows
 *
 * launcher.c is included whole. A checksum that no mutation could ever hit is not looked at, and
 * what a key has signed is what begins with an even byte; tests/corpus.py tests the true ones.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#undef alloca /* a macro of stdlib.h; launcher.c poisons the name */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static unsigned long deep; /* inputs that were good to the end */

static void broken(const char *what)
{
	fprintf(stderr, "broken: %s\n", what);
	abort();
}

static uint8_t *room(size_t size)
{
	uint8_t *p = malloc(size); /* with the sanitizer's fences around it */

	if (!p)
		broken("no memory");
	return p;
}

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value ? value : "";
}

static void say_how_deep(void)
{
	fprintf(stderr, "deep: %lu\n", deep);
}

/* Of a frame's header and of a small block, a byte or four behind what is summed: they are right. */
static unsigned sum_of(const uint8_t *p, size_t n)
{
	return n == 2 || n == 10 ? (unsigned)p[n] << 8
				 : p[n] | p[n + 1] << 8 | p[n + 2] << 16 | (unsigned)p[n + 3] << 24;
}

/* A header of a tar has the right sum, unless it ends in '!'. */
static int memcmp_or_repair(const void *a, const void *b, size_t n)
{
	uint8_t *h = (uint8_t *)(uintptr_t)a;
	unsigned sum = 0;

	if (n != 512 || h[155] == '!' || !memcmp(a, b, n))
		return memcmp(a, b, n);
	memset(h + 148, ' ', 8);
	for (int i = 0; i < 512; i++)
		sum += h[i];
	for (int i = 6; i--; sum >>= 3)
		h[148 + i] = (uint8_t)('0' + (sum & 7));
	return 1;
}

static int opens(uint8_t *to, unsigned long long *size, const uint8_t *from, unsigned long long n,
		 const uint8_t *key)
{
	(void)key;
	memcpy(to, from, n);
	*size = n - 64;
	return from[0] & 1 ? -1 : 0;
}

#define XXH_STATIC_LINKING_ONLY
#include "crypto_api.h"
#include "xxhash.h"

#define KEYS "RWQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
#define XXH32(p, n, seed) sum_of(p, n)
#define XXH32_digest(state) 0U
#define memcmp(a, b, n) memcmp_or_repair(a, b, n)
#define main launcher_main
#define crypto_sign_ed25519_open opens
#include "../launcher.c"
#undef memcmp

static uint8_t *in, *out;        /* of the image, in place of its own */
static int place = -1, top = -1; /* a directory to unpack in, and the one around it */
static char marks[64];           /* of the canary */

/* Opens the image in memory that has fences. Returns 0, or says why not. */
static int take(struct image *m, const uint8_t *bytes, size_t size, int anyone)
{
	int failed = image_open(m, -1, bytes, size, anyone);

	m->in = in;
	m->out = out;
	if (failed && (failed != -EBADMSG || !*m->why || strlen(m->why) >= sizeof m->why))
		broken("refused without a reason");
	return failed;
}

/*
 * A sum over what is decoded from here on, or -1. Small blocks do not count: the library lets a
 * match at distance 0 pass, with what was there before.
 */
static uint64_t decode(struct image *m, int rubbish)
{
	uint64_t sum = 1469598103934665603ULL;
	ssize_t n;

	memset(out, rubbish, OUT_SIZE);
	image_rewind(m, 0);
	while ((n = image_peek(m)) > 0) {
		if (m->out_at + n != m->out_end || m->out_end > OUT_SIZE || m->in_end > IN_SIZE)
			broken("decoded beyond the buffer");
		for (ssize_t i = 0; i < n && m->block_max > WHOLE_BLOCK; i++)
			sum = (sum ^ m->out[m->out_at + i]) * 1099511628211ULL;
		m->out_at += n;
	}
	if (n < 0 && !*m->why)
		broken("refused without a reason");
	return n < 0 ? UINT64_MAX : sum;
}

static void fuzz_frames(const uint8_t *bytes, size_t size)
{
	if (take(&image, bytes, size, YES))
		return;
	uint64_t once = decode(&image, 0);
	if (decode(&image, 0x5a) != once)
		broken("what is decoded depends on what was there before");
	deep += once != UINT64_MAX;
}

/* Has the block, which decodes, a match at distance 0? That is refused where it can be seen. */
static int has_no_distance(const uint8_t *p, size_t size)
{
	for (size_t at = 0, length; at < size;) {
		unsigned token = p[at++], more = token >> 4 == 15;
		for (length = token >> 4; more; more = p[at++] == 255)
			length += p[at];
		if ((at += length) >= size)
			return NO;
		if (!p[at] && !p[at + 1])
			return YES;
		at += 2;
		for (more = (token & 15) == 15; more; more = p[at++] == 255)
			;
	}
	return NO;
}

static void fuzz_block(const uint8_t *bytes, size_t size)
{
	static uint8_t *library, *frame;
	static const uint8_t start[] = { 4, 0x22, 0x4d, 0x18, 0x60, 0x60, 0 };
	enum { MOST = 1 << 20 };

	if (!size || size > MOST)
		return;
	if (!library) {
		library = room(MOST);
		frame = room(MOST + 64);
	}
	memcpy(frame, start, sizeof start);
	for (int i = 0; i < 4; i++)
		frame[7 + i] = (uint8_t)(size >> 8 * i);
	memcpy(frame + 11, bytes, size);
	memset(frame + 11 + size, 0, 4);
	int made = LZ4_decompress_safe((const char *)bytes, (char *)library, (int)size, MOST);
	if (take(&image, frame, size + 15, YES))
		broken("the frame has no header");
	image_rewind(&image, 0);
	ssize_t n, all = 0;
	memset(out, 0x5a, OUT_SIZE);
	while ((n = image_peek(&image)) > 0) {
		if (all + n > MOST)
			broken("a block grows past its maximum");
		if (made >= all + n && memcmp(image.out + image.out_at, library + all, n))
			broken("not what the library makes of it");
		image.out_at += n;
		all += n;
	}
	if (made >= 0 && (n < 0 || all != made) && !has_no_distance(bytes, size))
		broken("the library is of another opinion");
	deep += !n;
}

static volatile size_t seen; /* reads something that the sanitizers shall look at */

static void fuzz_header(const uint8_t *bytes, size_t size)
{
	const struct image *m = &image;
	const char *value = NULL;

	for (int anyone = NO; anyone <= YES; anyone++) {
		int failed = take(&image, bytes, size, anyone);
		if (!failed && !anyone && !m->trusted)
			broken("taken without a signature");
		if (failed || !m->digests)
			continue;
		u64 last = 0;
		for (unsigned i = 1; i <= m->nshards; last = m->shards[i++])
			if (m->shards[i] <= last)
				broken("a shard without bytes");
		if (m->shards[0] || m->body + last != size || m->nshards > SHARDS_MAX ||
		    (last + m->chunk - 1) / m->chunk != m->ndigests)
			broken("a header that makes no sense");
		for (const struct header_key *k = header_keys; k < header_keys + LEN(header_keys);
		     k++)
			for (unsigned n = 0; (value = header_value(m, k->name, value)); n++) {
				if (n == k->most)
					broken("a key is there too often");
				seen += strlen(value) + header_number(value);
			}
		for (u64 i = 0; i < m->ndigests; i++)
			seen += chunk_matches(m, i, bytes, 0);
		deep++;
	}
}

static void look_at_the_canary(void)
{
	struct stat st;
	char now[64];

	if (fstatat(top, "canary", &st, AT_SYMLINK_NOFOLLOW))
		broken("the canary is gone");
	format(now, sizeof now, "%llu %x %u %u %llu %llu", (u64)st.st_ino, (unsigned)st.st_mode,
	       (unsigned)st.st_nlink, (unsigned)st.st_uid, (u64)st.st_size, (u64)st.st_mtime);
	if (*marks && strcmp(marks, now))
		broken("the canary has changed");
	memcpy(marks, now, sizeof now);
}

static int is_a_stranger(int dir, const char *name)
{
	(void)dir;
	return strcmp(name, "canary") && strcmp(name, "root");
}

/* After an archive: nothing around it is new, and all of it can be taken away. */
static void clear(void)
{
	look_at_the_canary();
	if (dir_each(top, is_a_stranger))
		broken("something is beside the root");
	fchmod(place, 0700);
	tree_empty(dup(place));
	if (dir_each(place, is_a_stranger) || unlinkat(top, "root", AT_REMOVEDIR) ||
	    mkdirat(top, "root", 0700))
		broken("something is left");
	close(place);
	place = openat(top, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static struct tally *tally(void)
{
	static union {
		struct tally tally;
		char modes[sizeof(struct tally) + MODES_SIZE];
	} all;

	memset(&all.tally, 0, sizeof all.tally);
	return &all.tally;
}

static void fuzz_tar(const uint8_t *bytes, size_t size)
{
	static const unsigned ways[] = {
		TAR_OWNERS,
		TAR_OWNERS | TAR_NO_END,
		TAR_OWNERS | TAR_SHARDS,
		TAR_OWNERS | TAR_SHARDS | TAR_NO_END,
		TAR_OWNERS | TAR_SHARDS | TAR_SKELETON | TAR_NO_END,
		TAR_OWNERS | TAR_SHARDS | TAR_FINISH | TAR_NO_END,
		TAR_DISCARD,
		0,
	};
	static const uint8_t start[] = { 4, 0x22, 0x4d, 0x18, 0x40, 0x40, 0 };
	static uint8_t *frame;
	enum { MOST = 1 << 20, STEP = 1 << 16 };
	struct tally *all = tally();
	size_t at = sizeof start;

	if (!frame)
		frame = room(MOST + 1024);
	if (!size || size > MOST)
		return;
	memcpy(frame, start, sizeof start);
	for (size_t i = 1, n; i < size; i += n, at += n) {
		n = size - i < STEP ? size - i : STEP;
		for (int k = 0; k < 4; k++)
			frame[at++] = (uint8_t)((n | 1U << 31) >> 8 * k);
		memcpy(frame + at, bytes + i, n);
	}
	memset(frame + at, 0, 4);
	if (take(&image, frame, at + 4, YES))
		broken("the frame has no header");
	image_rewind(&image, 0);
	image.room = MOST;
	unsigned how = ways[bytes[0] % LEN(ways)] & (geteuid() ? ~TAR_OWNERS : ~0U);
	deep += !image_unpack(&image, place, how, all);
	modes_set(place, all);
	clear();
}

/* As the worker does it, by one process. */
static void fuzz_image(const uint8_t *bytes, size_t size)
{
	static char *whole;
	enum { MOST = 1 << 20 };
	struct tally *all = tally();
	unsigned shards = size ? bytes[0] & 7 : 0;
	uint8_t digest[32];
	char text[65];
	int failed = 0;

	if (!whole)
		whole = (char *)room(MOST + 8192);
	if (size < 1 + 2 * shards || size > MOST)
		return;
	const uint8_t *body = bytes + 1 + 2 * shards;
	size_t n = size - 1 - 2 * shards, at = 8;
	if (shards) {
		at += format(whole + at, 4096, "launcher-image 1\nsize %llu\nchunk 65536\n",
			     (u64)n);
		for (unsigned i = 0; i < shards; i++)
			at += format(whole + at, 64, "shard %u\n",
				     bytes[1 + 2 * i] | bytes[2 + 2 * i] << 8);
		for (size_t i = 0; i < n; i += 65536) {
			digest_make(digest, body + i, min(n - i, 65536));
			at += format(whole + at, 128, "blake3 %s\n", hex(text, digest, 32));
		}
		for (int i = 0; i < 4; i++) {
			whole[i] = (char)((unsigned)HEADER_MAGIC >> 8 * i);
			whole[4 + i] = (char)((at - 8) >> 8 * i);
		}
		memcpy(whole + at, body, n);
		body = (uint8_t *)whole;
		n += at;
	}
	if (take(&image, body, n, YES))
		return;
	unsigned last = image.nshards - 1;
	for (unsigned i = 0; !failed && i <= last + !!last; i++) {
		unsigned how = geteuid() ? 0 : TAR_OWNERS, shard = i > last ? 0 : i;
		if (last)
			how |= !i         ? TAR_SHARDS | TAR_SKELETON
			       : i > last ? TAR_SHARDS | TAR_FINISH
					  : TAR_SHARDS;
		image_rewind(&image, shard);
		failed = image_unpack(&image, place, how | (shard < last ? TAR_NO_END : 0),
				      all);
	}
	deep += !failed;
	clear();
}

static void (*target)(const uint8_t *bytes, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const struct {
		const char *name;
		void (*run)(const uint8_t *bytes, size_t size);
	} targets[] = {
		{ "header", fuzz_header }, { "frames", fuzz_frames }, { "block", fuzz_block },
		{ "tar", fuzz_tar },       { "image", fuzz_image },
	};

	(void)argc, (void)argv;
	for (int i = 0; i < LEN(targets); i++)
		if (!strcmp(targets[i].name, variable("TARGET")))
			target = targets[i].run;
	if (!target)
		broken("no such TARGET");
	in = room(IN_SIZE);
	out = room(OUT_SIZE);
	umask(0);
	if (target == fuzz_tar || target == fuzz_image) {
		top = open(variable("SCRATCH"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (mkdirat(top, "root", 0700) || symlinkat("what is outside", top, "canary") ||
		    (place = openat(top, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
			broken("no place to unpack");
		look_at_the_canary();
	}
	atexit(say_how_deep);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	target(bytes, size);
	return 0;
}
