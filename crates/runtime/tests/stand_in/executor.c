// Executors of rings as threads, for driver.c: an instance is a thread, a seat the CUDA stream that
// it is started in. DRIVER_SAYS has how they are: "executor=1" serve as executor.h does, 2 have
// left when they are started, 3 have come and do
// nothing; without it they never come. "start=" has the microseconds from a launch to its beginning,
// "work=" those that each descriptor takes. "overtaken=3" has the word of each third ticket overtake
// that of the one before. "queues=2" has seats share so few queues, in which nothing begins before all
// that was launched earlier has ended.
#include <pthread.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

enum { SLOT = 8, SLOTS = 128, SECTOR = 4, WINDOW = 4, TIRED = 1, LEAVING = 2, GONE = 4, EPOCH_SHIFT = 3 };

typedef struct {
  Address slots, say, word, abort, board, shared, idle, residence;
  unsigned epoch, first;
} Ring;

typedef struct {
  pthread_t last;
  int started;
} Queue;

typedef struct {
  Queue* queue;
  int running;
} Seat;

typedef struct {
  Ring ring;
  Seat* seat;
  pthread_t before;
  int follows;
} Instance;

static int executors(void) { return listed("DRIVER_SAYS", "executor", 0, 0); }
static Address load(Address at) { return __atomic_load_n((Address*)at, __ATOMIC_ACQUIRE); }
static void store(Address at, Address value) { __atomic_store_n((Address*)at, value, __ATOMIC_RELEASE); }
static Address now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (Address)time.tv_sec * 1000000000 + time.tv_nsec;
}

// What `small_add` of kernels.h does; other kernels do nothing.
static void small_add(const float* x, const float* y, float* z, Address count) {
  for (Address i = 0; i < count; ++i) z[i] = x[i] + y[i];
}

// The slots of the descriptor at `n`, which is copied when it is whole.
static unsigned look(const Ring* ring, unsigned n, Address* words) {
  unsigned slots = 1;
  for (unsigned i = 0; i < slots * SLOT; i += SECTOR) {
    Address at = ring->slots + 8 * ((n * SLOT + i) % (SLOTS * SLOT));
    words[i + 3] = load(at + 24);
    if (words[i + 3] >> 32 != n + i / SLOT) return 0;
    for (int word = 0; word < 3; ++word) words[i + word] = load(at + 8 * word);
    if (i == 0) slots = words[3] >> 16 & 15;
  }
  return slots;
}

static Address data(const Address* words, unsigned d) {
  return words[d == 0 ? 6 : SLOT + (d - 1) / 3 * SECTOR + (d - 1) % 3];
}

static void work(const Ring* ring, const Address* words, Address last) {
  if (words[2]) {
    while (load(words[2]) < words[4] && !load(ring->abort)) {
      store(ring->word, last);
      sched_yield();
    }
  }
  int micros = listed("DRIVER_SAYS", "work", 0, 0);
  if (micros) usleep(micros);
  // Its first parameter is the count.
  if ((words[3] >> 20 & 15) == 3 && words[1] & 1)
    small_add((float*)data(words, 0), (float*)data(words, 1), (float*)data(words, 2), data(words, 3));
  store(ring->word, words[0]);
  int overtaken = listed("DRIVER_SAYS", "overtaken", 0, 0);
  if (overtaken && words[0] % overtaken == 0) store(ring->word, last);
}

// Does what is published until it may leave. What its rings share outlives instances: what is done,
// and the last ticket, which the host is told again whenever this waits.
static void serve(const Ring* ring, unsigned* done, Address* last) {
  Address words[WINDOW * SLOT], says = (Address)ring->epoch << EPOCH_SHIFT, started = now(), busy = started;
  if ((int)(ring->first - *done) > 1) *done = ring->first - 1;
  for (;;) {
    unsigned slots = look(ring, *done + 1, words);
    if (!slots && now() - busy > ring->idle) {
      __atomic_store_n((Address*)ring->say, says | LEAVING, __ATOMIC_SEQ_CST);
      __atomic_thread_fence(__ATOMIC_SEQ_CST);
      slots = look(ring, *done + 1, words);
      if (!slots) return;
      store(ring->say, says);
    }
    if (!slots) {
      store(ring->word, *last);
      sched_yield();
      continue;
    }
    int asked = words[3] >> 24 & 1;
    if (!asked) {
      work(ring, words, *last);
      *last = words[0];
    }
    *done += slots;
    if (asked && words[0] == ring->epoch) return;
    busy = now();
    if (busy - started > ring->residence && !(says & TIRED)) store(ring->say, says |= TIRED);
  }
}

static void* execute(void* given) {
  Instance* instance = given;
  const Ring* ring = &instance->ring;
  if (instance->follows) pthread_join(instance->before, 0);
  usleep(listed("DRIVER_SAYS", "start", 0, 0));
  store(ring->say, (Address)ring->epoch << EPOCH_SHIFT);
  if (executors() == 1) {
    Address* last = (Address*)ring->shared + 1;
    serve(ring, (unsigned*)ring->shared, last);
    store(ring->word, *last);
  }
  while (executors() == 3 && !load(ring->abort)) usleep(100);
  store(ring->say, (Address)ring->epoch << EPOCH_SHIFT | GONE);
  __atomic_fetch_sub(&instance->seat->running, 1, __ATOMIC_RELEASE);
  free(instance);
  return 0;
}

static Seat* new_seat(void) {
  static Queue queues[64];
  static unsigned seats;
  Seat* seat = calloc(1, sizeof *seat);
  seat->queue = &queues[seats++ % listed("DRIVER_SAYS", "queues", 64, 0)];
  return seat;
}

static void start(const Ring* ring, Seat* seat) {
  Address says = (Address)ring->epoch << EPOCH_SHIFT;
  if (executors() == 2) {
    store(ring->say, says | GONE);
    return;
  }
  if (executors() == 3) store(ring->say, says);
  static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&one_at_a_time);
  Queue* queue = seat->queue;
  Instance* instance = malloc(sizeof *instance);
  *instance = (Instance){*ring, seat, queue->last, queue->started};
  queue->started = 1;
  __atomic_fetch_add(&seat->running, 1, __ATOMIC_RELAXED);
  pthread_create(&queue->last, 0, execute, instance);
  pthread_mutex_unlock(&one_at_a_time);
}
