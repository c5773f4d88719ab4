/* The machine that builds: a laptop, a server, a test */
#define BOARD_NAME   "host"
#define BOARD_CROSS  ""
#define BOARD_RAM    (1024ULL << 20)
#define BOARD_IMAGES "/var/lib/launcher"
#define BOARD_DATA   "/var/lib/launcher/data"
