/* QEMU's q35 machine */
#define BOARD_NAME    "qemu-x86_64"
#define BOARD_ARCH    "x86_64"
#define BOARD_CROSS   "x86_64-linux-gnu-"
#define BOARD_RAM     (80ULL << 20) /* Debian's kernel does not boot in 72 MiB */
#define BOARD_IMAGES  "/images"
#define BOARD_MODULES "/modules"
