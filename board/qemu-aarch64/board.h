/* QEMU's virt machine with a Cortex-A53 */
#define BOARD_NAME    "qemu-aarch64"
#define BOARD_ARCH    "aarch64"
#define BOARD_CROSS   "aarch64-linux-gnu-"
#define BOARD_RAM     (64ULL << 20) /* Debian's kernel boots in 56 MiB */
#define BOARD_IMAGES  "/images"
#define BOARD_MODULES "/modules"
