/* QEMU's virt machine with a Cortex-A15 */
#define BOARD_NAME    "qemu-armv7"
#define BOARD_ARCH    "armv7"
#define BOARD_CROSS   "arm-linux-gnueabihf-"
#define BOARD_RAM     (64ULL << 20) /* Debian's kernel boots in 56 MiB */
#define BOARD_IMAGES  "/images"
#define BOARD_MODULES "/modules"
