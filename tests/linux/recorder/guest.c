/*
 * Runs one memory script (.mm) and says what the kernel did: guest TERMINAL
 *
 * TERMINAL gets a JSON record a line, from {"kernel": ..} to {"end": true}; without the
 * last one the script has failed, and the last line may say why ("error").  After the
 * first record the script is read from it: the number of its bytes in a line, then
 * these.  Runs as root on a machine that does nothing else; see README.md.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define HUGE (2UL << 20)
/*
 * Linux interleaves an anonymous mapping by its address.  Regions start at multiples of
 * this, which every number of nodes up to 8 divides, in pages and in huge pages: so the
 * first page of a region is always the first node's.  Later regions are lower, as
 * mmap() would place them.
 */
#define PLACE (840 * HUGE)
#define CEILING (0x700000000000UL / PLACE * PLACE)

#define MAX_WORDS 16
#define MAX_LINE 1024
#define MAX_SCRIPT (1 << 16)
#define MAX_REGIONS 64
#define MAX_CHILDREN 16
#define MAX_COUNTERS 400
#define BATCH 1024UL
#define MAX_NODE_BITS 64UL

/* Bits of /proc/self/pagemap and /proc/kpageflags. */
#define PM_PRESENT (1ULL << 63)
#define PM_SWAP (1ULL << 62)
#define PM_PFN ((1ULL << 55) - 1)
#define KPF_THP (1ULL << 22)
#define KPF_ZERO_PAGE (1ULL << 24)

#define THP_DIR "/sys/kernel/mm/transparent_hugepage/"
#define KHUGEPAGED_DIR THP_DIR "khugepaged/"
#define WEIGHTS_DIR "/sys/kernel/mm/mempolicy/weighted_interleave/"
#define TIERS_DIR "/sys/devices/virtual/memory_tiering/"
#define NUMA_DIR "/sys/kernel/mm/numa/"
#define BALANCING_DIR "/sys/kernel/debug/sched/numa_balancing/"
#define LRU_GEN_DIR "/sys/kernel/mm/lru_gen/"
#define SWAP_DEVICE "/dev/ram0"

/* How long khugepaged may take: with nothing to scan, and in all. */
#define IDLE_SCAN_S 4
#define MOST_SCAN_S 60

struct region {
	char name[32];
	char *start;
	size_t length;
};

struct child {
	char name[32];
	pid_t pid;
	int to, from;
	int dead;
	int signal;
};

struct counter {
	char name[64];
	unsigned long value;
};

struct page {
	const char *state;
	int node;
	int huge;
};

static FILE *out;
static int line;
static const char *self = "main";
static struct region regions[MAX_REGIONS];
static int region_count;
static char *lowest = (char *)CEILING;
static struct child children[MAX_CHILDREN];
static int child_count;
static struct counter before[MAX_COUNTERS];
static int counter_count;
static int tells_status;

static void run_line(char *text);

/* --- records ------------------------------------------------------------------- */

static void record(const char *format, ...)
{
	va_list rest;

	va_start(rest, format);
	vfprintf(out, format, rest);
	va_end(rest);
	fflush(out);
}

/* Give the script up: it is wrong, or this program is. */
static void give_up(const char *what, const char *which)
{
	record("{\"line\":%d,\"error\":\"%s %s: %s\"}\n", line, what, which,
	       errno ? strerror(errno) : "no such thing");
	tcdrain(fileno(out));
	_exit(1);
}

/* Say which error an operation returned, if it did. */
static void returned(long code)
{
	if (code < 0)
		record("{\"line\":%d,\"result\":\"%s\"}\n", line, strerrorname_np(errno));
}

/* --- words --------------------------------------------------------------------- */

static unsigned long size_of(const char *word)
{
	static const struct {
		char unit;
		unsigned long bytes;
	} units[] = {{0, 1},	    {'K', 1UL << 10}, {'M', 1UL << 20},
		     {'G', 1UL << 30}, {'p', PAGE},	      {'h', HUGE}};
	char *unit;
	unsigned long number = strtoul(word, &unit, 10);

	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		if (*unit == units[i].unit)
			return number * units[i].bytes;
	errno = 0;
	give_up("size", word);
	return 0;
}

static unsigned long nodes_of(const char *word)
{
	unsigned long mask = 0;

	while (*word) {
		char *rest;
		unsigned long low = strtoul(word, &rest, 10), high = low;

		if (*rest == '-')
			high = strtoul(rest + 1, &rest, 10);
		for (; low <= high && low < MAX_NODE_BITS; low++)
			mask |= 1UL << low;
		word = *rest == ',' ? rest + 1 : "";
	}
	return mask;
}

/* Return the index of a word in a list that ends with NULL. */
static int index_of(const char *word, const char *const *list, const char *what)
{
	for (int i = 0; list[i]; i++)
		if (!strcmp(list[i], word))
			return i;
	errno = 0;
	give_up(what, word);
	return -1;
}

static struct region *region_of(const char *name)
{
	for (int i = 0; i < region_count; i++)
		if (!strcmp(regions[i].name, name))
			return &regions[i];
	errno = 0;
	give_up("region", name);
	return NULL;
}

static struct child *child_of(const char *name)
{
	for (int i = 0; i < child_count; i++)
		if (!strcmp(children[i].name, name))
			return &children[i];
	errno = 0;
	give_up("child", name);
	return NULL;
}

/* --- files and time ------------------------------------------------------------ */

static void put(const char *path, const char *value)
{
	int file = open(path, O_WRONLY);

	if (file < 0 || write(file, value, strlen(value)) < 0)
		give_up("write", path);
	close(file);
}

/* The same, but that the file is missing or says no is a record. */
static void put_or_say(const char *path, const char *value)
{
	int file = open(path, O_WRONLY);

	returned(file < 0 ? -1 : write(file, value, strlen(value)));
	if (file >= 0)
		close(file);
}

static size_t get(const char *path, char *text, size_t room)
{
	int file = open(path, O_RDONLY);
	size_t used = 0;
	ssize_t more;

	if (file < 0)
		give_up("read", path);
	while ((more = read(file, text + used, room - 1 - used)) > 0)
		used += more;
	text[used] = 0;
	close(file);
	return used;
}

static long get_number(const char *path)
{
	char text[64];

	get(path, text, sizeof text);
	return atol(text);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec * 1e-9;
}

/* Memory for this program itself, which never becomes part of a huge page. */
static void *scratch(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED || madvise(memory, bytes, MADV_NOHUGEPAGE))
		give_up("memory", "of the recorder");
	return memory;
}

/* --- settings, mappings, policies ---------------------------------------------- */

/* record.py has started the machine; whether it has tiers is the kernel's affair. */
static void do_machine(int count, char **word)
{
	const char *asked = NULL;
	struct dirent *entry;
	int tiers = 0;
	DIR *folder;

	for (int at = 1; at < count; at++)
		if (!strncmp(word[at], "tier=", 5) && strpbrk(word[at], "123456789"))
			asked = word[at];
	if (!asked || !(folder = opendir(TIERS_DIR)))
		return;
	while ((entry = readdir(folder)))
		tiers += !strncmp(entry->d_name, "memory_tier", 11) &&
			 isdigit((unsigned char)entry->d_name[11]);
	closedir(folder);
	errno = 0;
	if (tiers < 2)
		give_up("more than one memory tier, for", asked);
}

static void do_set(int count, char **word)
{
	static const struct {
		const char *prefix, *folder;
	} groups[] = {{"thp.", THP_DIR},
		      {"khugepaged.", KHUGEPAGED_DIR},
		      {"balancing.", BALANCING_DIR},
		      {"numa.", NUMA_DIR},
		      {"lru_gen.", LRU_GEN_DIR}};
	char path[256];
	int node;

	(void)count;
	if (!strcmp(word[1], "move.status")) {
		tells_status = atoi(word[2]);
		return;
	}
	if (sscanf(word[1], "node.%d.weight", &node) == 1) {
		snprintf(path, sizeof path, WEIGHTS_DIR "node%d", node);
		put_or_say(path, word[2]);
		return;
	}
	for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
		size_t length = strlen(groups[i].prefix);

		if (!strncmp(word[1], groups[i].prefix, length)) {
			snprintf(path, sizeof path, "%s%s", groups[i].folder, word[1] + length);
			put(path, word[2]);
			return;
		}
	}
	snprintf(path, sizeof path, "/proc/sys/%s", word[1]);
	for (char *dot = path; (dot = strchr(dot, '.'));)
		*dot = '/';
	put(path, word[2]);
}

static void do_map(int count, char **word)
{
	struct region *region = &regions[region_count++];
	int shared = 0;
	size_t above = 0;

	for (int at = 3; at < count; at++) {
		shared |= !strcmp(word[at], "shared");
		if (!strcmp(word[at], "at") && at + 1 < count)
			above = size_of(word[++at]);
	}
	snprintf(region->name, sizeof region->name, "%s", word[1]);
	region->length = size_of(word[2]);
	lowest -= ((region->length + above) / PLACE + 1) * PLACE;
	region->start = mmap(lowest + above, region->length, PROT_READ | PROT_WRITE,
			     (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS |
				     MAP_FIXED_NOREPLACE | MAP_NORESERVE,
			     -1, 0);
	if (region->start == MAP_FAILED)
		give_up("map", word[1]);
}

/* The words from `at` on may be an offset and a length; else it is all of a region. */
static char *range(int count, char **word, int at, size_t *length)
{
	struct region *region = region_of(word[1]);

	*length = count > at + 1 ? size_of(word[at + 1]) : region->length;
	return region->start + (count > at + 1 ? size_of(word[at]) : 0);
}

static void do_unmap(int count, char **word)
{
	size_t length;
	char *start = range(count, word, 2, &length);

	returned(munmap(start, length));
}

static void do_protect(int count, char **word)
{
	static const char *const names[] = {"none", "r", "rw", NULL};
	static const int bits[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE};
	size_t length;
	char *start = range(count, word, 2, &length);

	returned(mprotect(start, length, bits[index_of(word[4], names, "protection")]));
}

static void do_advise(int count, char **word)
{
	static const char *const names[] = {
		"hugepage", "nohugepage",	"dontneed",	  "free",	"pageout",
		"cold",	    "populate_read", "populate_write", "collapse", NULL};
	/* As in the kernel's mman-common.h; not every libc has the newer ones. */
	static const int advices[] = {14, 15, 4, 8, 21, 20, 22, 23, 25};
	size_t length;
	char *start = range(count, word, 3, &length);

	returned(madvise(start, length, advices[index_of(word[2], names, "advice")]));
}

/* MPOL_*, in the kernel's order; the modes from `default` and `local` have no nodes. */
static const char *const modes[] = {"default",	  "preferred", "bind",
				    "interleave", "local",	 "preferred_many",
				    "weighted_interleave", NULL};
#define MODE_FLAG_NUMA_BALANCING (1 << 13)

/* Read MODE [NODES]; *at is then the word after them. */
static int read_mode(char **word, int count, int *at, unsigned long *mask)
{
	int mode = index_of(word[(*at)++], modes, "mode");

	*mask = 0;
	if (*at < count && word[*at][0] >= '0' && word[*at][0] <= '9')
		*mask = nodes_of(word[(*at)++]);
	return mode;
}

static void do_policy(int count, char **word)
{
	static const char *const names[] = {"strict", "move", "move_all", "lazy", "at", NULL};
	struct region *region = region_of(word[1]);
	size_t length = region->length;
	char *start = region->start;
	unsigned long mask;
	int flags = 0, at = 2;
	int mode = read_mode(word, count, &at, &mask);

	for (; at < count; at++) {
		int flag = index_of(word[at], names, "flag");

		if (names[flag + 1]) {
			flags |= 1 << flag;
		} else {
			start = range(count, word, at + 1, &length);
			at += 2;
		}
	}
	returned(syscall(SYS_mbind, start, length, mode, mask ? &mask : NULL,
			 mask ? MAX_NODE_BITS : 0, flags));
}

static void do_home(int count, char **word)
{
	/* As in the kernel's unistd.h; not every libc has it. */
	const long set_mempolicy_home_node = 450;
	size_t length;
	char *start = range(count, word, 4, &length);

	returned(syscall(set_mempolicy_home_node, start, length, atol(word[2]), 0));
}

static void do_taskpolicy(int count, char **word)
{
	unsigned long mask;
	int at = 1, mode = read_mode(word, count, &at, &mask);

	if (at < count && !strcmp(word[at], "balancing"))
		mode |= MODE_FLAG_NUMA_BALANCING;
	returned(syscall(SYS_set_mempolicy, mode, mask ? &mask : NULL,
			 mask ? MAX_NODE_BITS : 0));
}

/* --- accesses and moves -------------------------------------------------------- */

static void pin(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	if (sched_setaffinity(0, sizeof cpus, &cpus))
		give_up("pin", "to a CPU");
}

static void do_cpu(int count, char **word)
{
	(void)count;
	pin(atoi(word[1]));
}

static void sweep(char **word, int value)
{
	volatile char *start = region_of(word[1])->start + size_of(word[2]);
	size_t length = size_of(word[3]), stride = size_of(word[4]);
	int write = word[5][0] == 'w';

	for (size_t at = 0; at < length; at += stride) {
		if (write)
			start[at] = value;
		else
			(void)start[at];
	}
}

static void do_touch(int count, char **word)
{
	int times = count > 6 ? atoi(word[6]) : 1;

	/* Never zero: a page of zeros is another thing to a split. */
	for (int i = 0; i < times; i++)
		sweep(word, i % 255 + 1);
}

static void do_settle(int count, char **word)
{
	double end = now() + atoi(word[6]);

	(void)count;
	while (now() < end)
		sweep(word, 1);
}

static void do_move(int count, char **word)
{
	size_t length, pages;
	char *start = range(count, word, 2, &length);
	void **address;
	int *node, *status;
	long got;
	const int move_own = 1 << 1;

	pages = length / PAGE;
	address = scratch(pages * sizeof *address);
	node = scratch(pages * sizeof *node);
	status = scratch(pages * sizeof *status);
	for (size_t i = 0; i < pages; i++) {
		address[i] = start + i * PAGE;
		node[i] = atoi(word[4]);
	}
	got = syscall(SYS_move_pages, 0, pages, address, node, status, move_own);
	returned(got);
	if (tells_status && got >= 0) {
		record("{\"line\":%d,\"status\":[", line);
		for (size_t i = 0; i < pages; i++)
			record("%s%d", i ? "," : "", status[i]);
		record("]}\n");
	}
	munmap(address, pages * sizeof *address);
	munmap(node, pages * sizeof *node);
	munmap(status, pages * sizeof *status);
}

static void do_migrate(int count, char **word)
{
	unsigned long from = nodes_of(word[1]), to = nodes_of(word[2]);

	(void)count;
	returned(syscall(SYS_migrate_pages, 0, MAX_NODE_BITS, &from, &to));
}

/* --- children ------------------------------------------------------------------ */

/* A child: runs the lines that it gets, and answers each with a byte. */
static void serve(int from, int to)
{
	FILE *lines = fdopen(from, "r");
	char text[MAX_LINE];

	while (lines && fgets(text, sizeof text, lines)) {
		char *words;

		line = strtol(text, &words, 10);
		run_line(words);
		if (write(to, "", 1) != 1)
			_exit(1);
	}
	_exit(0);
}

static void do_fork(int count, char **word)
{
	struct child *child = &children[child_count];
	int there[2], back[2];

	(void)count;
	if (pipe2(there, O_CLOEXEC) || pipe2(back, O_CLOEXEC))
		give_up("pipe", word[1]);
	snprintf(child->name, sizeof child->name, "%s", word[1]);
	child->to = there[1];
	child->from = back[0];
	child->dead = child->signal = 0;
	child->pid = fork();
	if (child->pid < 0)
		give_up("fork", word[1]);
	if (!child->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		self = child->name;
		/* No child holds another's pipe open. */
		for (int i = 0; i <= child_count; i++) {
			close(children[i].to);
			close(children[i].from);
		}
		serve(there[0], back[1]);
	}
	child_count++;
	close(there[0]);
	close(back[1]);
}

static void bury(struct child *child)
{
	int status = 0;

	close(child->to);
	waitpid(child->pid, &status, 0);
	close(child->from);
	child->to = child->from = -1;
	child->dead = 1;
	child->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void do_in(int count, char **word)
{
	struct child *child = child_of(word[1]);
	char text[MAX_LINE], answer;
	int length = sprintf(text, "%d", line);

	for (int i = 2; i < count; i++)
		length += snprintf(text + length, sizeof text - length, " %s", word[i]);
	text[length++] = '\n';
	if (!child->dead &&
	    (write(child->to, text, length) != length || read(child->from, &answer, 1) != 1)) {
		bury(child);
		/* It has said itself why it gave up. */
		if (!child->signal)
			_exit(1);
	}
	if (child->dead)
		record("{\"line\":%d,\"killed\":\"%s\",\"signal\":%d}\n", line, child->name,
		       child->signal);
}

static void do_exit(int count, char **word)
{
	struct child *child = child_of(word[1]);

	(void)count;
	if (!child->dead)
		bury(child);
}

/* --- the rest of the machine --------------------------------------------------- */

/* Return whether khugepaged sleeps; its process is found once. */
static int khugepaged_sleeps(void)
{
	static char path[64];
	char text[512], *state;

	for (int pid = 2; !path[0] && pid < 1000; pid++) {
		FILE *file;

		snprintf(path, sizeof path, "/proc/%d/stat", pid);
		file = fopen(path, "r");
		if (!file || !fgets(text, sizeof text, file) || !strstr(text, "(khugepaged)"))
			path[0] = 0;
		if (file)
			fclose(file);
	}
	/* It ends when huge pages are set to never, and comes back as another. */
	if (path[0] && access(path, R_OK))
		path[0] = 0;
	if (!path[0])
		return 1;
	get(path, text, sizeof text);
	state = strrchr(text, ')');
	return !state || state[2] == 'S' || state[2] == 'I';
}

/*
 * khugepaged wakes for the first process that may have huge pages, whatever its pause
 * is, and looks at it while the script runs.  So another process is the first: that has
 * had a huge page.  It lets khugepaged count its scans, too.
 */
static void put_khugepaged_to_sleep(void)
{
	pid_t pid = fork();
	char *mapping;

	if (pid < 0)
		give_up("fork", "for khugepaged");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		put("/proc/self/oom_score_adj", "-1000");
		mapping = mmap((void *)CEILING, HUGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		if (mapping == MAP_FAILED || madvise(mapping, HUGE, MADV_HUGEPAGE))
			give_up("map", "for khugepaged");
		/* A mapping counts from its first page on, which may go again. */
		mapping[0] = 1;
		madvise(mapping, HUGE, MADV_DONTNEED);
		for (;;)
			pause();
	}
	do
		usleep(100000);
	while (!khugepaged_sleeps());
}

static void do_khugepaged(int count, char **word)
{
	const char *const scans = KHUGEPAGED_DIR "full_scans";
	const char *const pause = KHUGEPAGED_DIR "scan_sleep_millisecs";
	long first = get_number(scans), wanted = first + atoi(word[1]), done = first;
	double start = now();

	(void)count;
	put(pause, "1");
	while (done < wanted && now() - start < (done == first ? IDLE_SCAN_S : MOST_SCAN_S)) {
		usleep(20000);
		done = get_number(scans);
	}
	put(pause, "3600000");
	/* It ends the round that it is in. */
	do
		usleep(50000);
	while (!khugepaged_sleeps() && now() - start < MOST_SCAN_S);
}

static void do_swapon(int count, char **word)
{
	(void)count, (void)word;
	returned(swapon(SWAP_DEVICE, 0));
}

static void do_swapoff(int count, char **word)
{
	(void)count, (void)word;
	returned(swapoff(SWAP_DEVICE));
}

static void do_drop(int count, char **word)
{
	(void)count, (void)word;
	sync();
	put("/proc/sys/vm/drop_caches", "3");
	put("/proc/sys/vm/compact_memory", "1");
}

static void do_sleep(int count, char **word)
{
	(void)count;
	usleep(1000UL * atoi(word[1]));
}

/* --- observations -------------------------------------------------------------- */

/* Return the flags of a frame; neighbours are read together. */
static uint64_t frame_flags(int file, uint64_t frame, int forget)
{
	static uint64_t first = UINT64_MAX, flags[64];
	const uint64_t start = frame / 64 * 64;

	if (forget) {
		first = UINT64_MAX;
		return 0;
	}
	if (start != first) {
		memset(flags, 0, sizeof flags);
		if (pread(file, flags, sizeof flags, start * 8) < 0)
			give_up("read", "/proc/kpageflags");
		first = start;
	}
	return flags[frame - start];
}

static struct page page_of(uint64_t entry, int status, int frames)
{
	struct page page = {"none", -1, 0};
	uint64_t flags;

	if (entry & PM_SWAP)
		page.state = "swap";
	if (!(entry & PM_PRESENT))
		return page;
	flags = frame_flags(frames, entry & PM_PFN, 0);
	if (flags & KPF_ZERO_PAGE) {
		page.state = "zero";
		return page;
	}
	page.huge = !!(flags & KPF_THP);
	page.state = status == -ENOENT ? "marked" : "present";
	page.node = status == -ENOENT ? -1 : status;
	return page;
}

static void print_run(unsigned long pages, struct page page, int first)
{
	char node[16] = "null";

	if (page.node >= 0)
		snprintf(node, sizeof node, "%d", page.node);
	fprintf(out, "%s[%lu,\"%s\",%s,%s]", first ? "" : ",", pages, page.state, node,
		page.huge ? "true" : "false");
}

static void print_runs(struct region *region)
{
	static void *address[BATCH];
	static int status[BATCH];
	static uint64_t entry[BATCH];
	int map = open("/proc/self/pagemap", O_RDONLY), frames = open("/proc/kpageflags", O_RDONLY);
	size_t pages = (region->length + PAGE - 1) / PAGE;
	struct page last = {"", 0, 0};
	unsigned long run = 0;
	int first = 1;

	if (map < 0 || frames < 0)
		give_up("read", "/proc/self/pagemap");
	frame_flags(frames, 0, 1);
	for (size_t i = 0; i < pages; i++) {
		size_t at = i % BATCH, batch = pages - i < BATCH ? pages - i : BATCH;
		struct page page;

		if (!at) {
			for (size_t j = 0; j < batch; j++)
				address[j] = region->start + (i + j) * PAGE;
			if (syscall(SYS_move_pages, 0, batch, address, NULL, status, 0) < 0)
				give_up("move_pages", region->name);
			if (pread(map, entry, batch * 8, ((uintptr_t)address[0] / PAGE) * 8) < 0)
				give_up("read", "/proc/self/pagemap");
		}
		page = page_of(entry[at], status[at], frames);
		if (run && (strcmp(page.state, last.state) || page.node != last.node ||
			    page.huge != last.huge)) {
			print_run(run, last, first);
			first = 0;
			run = 0;
		}
		last = page;
		run++;
	}
	if (run)
		print_run(run, last, first);
	close(map);
	close(frames);
}

/* The sums over the mappings within a region that /proc/self/smaps tells. */
static void print_sizes(struct region *region)
{
	uintptr_t first = (uintptr_t)region->start, end = first + region->length;
	unsigned long huge = 0, resident = 0, swapped = 0, from, to, kb;
	FILE *file = fopen("/proc/self/smaps", "r");
	char text[512];
	int inside = 0;

	end = (end + PAGE - 1) / PAGE * PAGE;
	if (!file)
		give_up("read", "/proc/self/smaps");
	while (fgets(text, sizeof text, file)) {
		if (sscanf(text, "%lx-%lx ", &from, &to) == 2)
			inside = first <= from && to <= end;
		else if (!inside)
			continue;
		else if (sscanf(text, "AnonHugePages: %lu", &kb) == 1 ||
			 sscanf(text, "ShmemPmdMapped: %lu", &kb) == 1)
			huge += kb;
		else if (sscanf(text, "Rss: %lu", &kb) == 1)
			resident += kb;
		else if (sscanf(text, "Swap: %lu", &kb) == 1)
			swapped += kb;
	}
	fclose(file);
	fprintf(out, "\"pmd_mapped_kb\":%lu,\"rss_kb\":%lu,\"swap_kb\":%lu", huge, resident, swapped);
}

static void do_observe(int count, char **word)
{
	struct region *region = region_of(word[1]);

	(void)count;
	fprintf(out, "{\"line\":%d,\"proc\":\"%s\",\"region\":\"%s\",\"runs\":[", line, self,
		region->name);
	print_runs(region);
	fprintf(out, "],");
	print_sizes(region);
	record("}\n");
}

static int read_counters(struct counter *counters)
{
	static char text[1 << 15];
	int count = 0, used;

	get("/proc/vmstat", text, sizeof text);
	for (char *at = text; count < MAX_COUNTERS; at += used + 1, count++)
		if (sscanf(at, "%63s %lu%n", counters[count].name, &counters[count].value, &used) != 2)
			break;
	return count;
}

static void do_counters(int count, char **word)
{
	static struct counter after[MAX_COUNTERS];
	int first = 1;

	(void)count, (void)word;
	read_counters(after);
	fprintf(out, "{\"line\":%d,\"counters\":{", line);
	for (int i = 0; i < counter_count; i++) {
		long change = after[i].value - before[i].value;

		/* nr_* tell what there is now, not what has happened. */
		if (!change || !strncmp(after[i].name, "nr_", 3))
			continue;
		fprintf(out, "%s\"%s\":%ld", first ? "" : ",", after[i].name, change);
		first = 0;
	}
	record("}}\n");
	memcpy(before, after, sizeof before);
}

static void do_nodefree(int count, char **word)
{
	char path[128], text[4096], *at;

	(void)count, (void)word;
	for (int node = 0; node < (int)MAX_NODE_BITS; node++) {
		snprintf(path, sizeof path, "/sys/devices/system/node/node%d/meminfo", node);
		if (access(path, R_OK))
			break;
		get(path, text, sizeof text);
		at = strstr(text, "MemFree:");
		record("{\"line\":%d,\"node\":%d,\"free_kb\":%lu}\n", line, node,
		       at ? strtoul(at + strlen("MemFree:"), NULL, 10) : 0);
	}
}

/* --- lines --------------------------------------------------------------------- */

static const struct {
	const char *name;
	int words;
	void (*run)(int count, char **word);
} operations[] = {
	{"machine", 1, do_machine},   {"set", 3, do_set},	    {"map", 3, do_map},
	{"unmap", 2, do_unmap},	      {"protect", 5, do_protect},   {"advise", 3, do_advise},
	{"policy", 3, do_policy},     {"taskpolicy", 2, do_taskpolicy},
	{"home", 3, do_home},
	{"cpu", 2, do_cpu},	      {"touch", 6, do_touch},	    {"settle", 7, do_settle},
	{"move", 5, do_move},	      {"migrate", 3, do_migrate},   {"fork", 2, do_fork},
	{"in", 3, do_in},	      {"exit", 2, do_exit},	    {"khugepaged", 2, do_khugepaged},
	{"swapon", 1, do_swapon},     {"swapoff", 1, do_swapoff},   {"drop", 1, do_drop},
	{"sleep", 2, do_sleep},	      {"observe", 2, do_observe},   {"counters", 1, do_counters},
	{"nodefree", 1, do_nodefree},
};

static void run_line(char *text)
{
	char *word[MAX_WORDS], *rest;
	int count = 0;

	text[strcspn(text, "#")] = 0;
	for (char *at = strtok_r(text, " \t\r\n", &rest); at && count < MAX_WORDS;
	     at = strtok_r(NULL, " \t\r\n", &rest))
		word[count++] = at;
	if (!count)
		return;
	for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
		if (!strcmp(operations[i].name, word[0]) && count >= operations[i].words) {
			operations[i].run(count, word);
			return;
		}
	errno = 0;
	give_up("operation", word[0]);
}

/* Wait for a script, and return it. */
static char *read_script(FILE *in)
{
	static char script[MAX_SCRIPT];
	size_t length;

	if (fscanf(in, "%zu", &length) != 1 || getc(in) != '\n')
		give_up("read", "the script's length");
	if (length >= sizeof script || fread(script, 1, length, in) != length)
		give_up("read", "the script");
	return script;
}

int main(int count, char **word)
{
	struct utsname kernel;
	char *script, *text;
	FILE *in;

	if (count < 2 || !(in = fopen(word[1], "re")) || !(out = fopen(word[1], "we"))) {
		fprintf(stderr, "guest TERMINAL: %s\n", strerror(errno));
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	uname(&kernel);
	put_khugepaged_to_sleep();
	pin(0);
	record("{\"kernel\":\"%s\",\"build\":\"%s\"}\n", kernel.release, kernel.version);
	script = read_script(in);
	counter_count = read_counters(before);
	while ((text = strsep(&script, "\n"))) {
		line++;
		run_line(text);
	}
	record("{\"end\":true}\n");
	/* The machine is switched off next. */
	tcdrain(fileno(out));
	return 0;
}
