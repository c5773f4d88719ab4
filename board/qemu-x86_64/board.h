/* QEMU's q35 machine */
#define BOARD_NAME    "qemu-x86_64"
#define BOARD_ARCH    "x86_64"
#define BOARD_CROSS   "x86_64-linux-gnu-"
#define BOARD_RAM     (96ULL << 20) /* Debian's kernel takes half of it before PID 1 */
#define BOARD_IMAGES  "/images"
#define BOARD_MODULES "/modules"
