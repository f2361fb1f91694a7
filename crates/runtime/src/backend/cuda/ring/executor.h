// The executor: the kernel that stays on the device and walks one stream's ring. README.md beside
// this file tells the protocol and why each fence is there.
//
// It comes after a module in the dialect, compiled with WOOTZ_RESIDENT, and before it stand, from
// Rust: WOOTZ_SLOTS, WOOTZ_WORKERS, WOOTZ_SCRATCH and WOOTZ_ENTRIES, a run of
// RESIDENT(index, name).

namespace wootz {
namespace resident {

enum : u32 {
  SECTOR = 4,  // words of a sector, which travels whole; the last carries the stamp
  SLOT = 8,    // words of a slot
  WINDOW = 4,  // slots that a warp sees with one look
  WORDS = WOOTZ_SLOTS * SLOT,
  LEAVE = 1,             // the flag of a descriptor that asks the executor to leave
  WALK = 2,              // the flag of a descriptor of a program
  HEAD = 4,              // words of a program's step before its buffers
  CHUNK = 512,           // words of a program that a block holds
  LONGEST = HEAD + 15 + 64,
};

// What the executor says of itself, below its epoch.
enum : u32 { TIRED = 1, LEAVING = 2, GONE = 4, EPOCH_SHIFT = 3 };

// What the blocks of one ring share, in device memory. It outlives every instance.
struct Shared {
  u32 done;  // the sequence number that is done last
  u32 left;  // the epoch of the last instance that left
  u32 pad[30];
  u32 count;  // blocks that have done their part of the open descriptor
  u32 out;    // blocks that have seen `left`
  u32 pad_of_count[30];
  u32 met;  // how often blocks have met in the open program, all of them together
};

struct Ring {
  const u64* slots;  // pinned: what the host publishes
  u64* say;          // pinned: what this executor says of itself
  u64* word;         // pinned: the last ticket that is done
  const u64* abort;  // pinned: not zero when waiting is pointless
  u64* board;        // device: the slots again, for the blocks
  Shared* shared;    // device
  u64 idle;          // nanoseconds without work after which it leaves
  u64 residence;     // nanoseconds after which it asks to be replaced
  u32 epoch;         // the number of this instance
};

// Far is host memory, near is device memory. None of these loads is served from L1.
inline u64 look_far(const u64* at) {
  u64 value;
  asm volatile("ld.relaxed.sys.global.u64 %0, [%1];" : "=l"(value) : "l"(at) : "memory");
  return value;
}
inline u64 look_near(const void* at) {
  u64 value;
  asm volatile("ld.relaxed.gpu.global.u64 %0, [%1];" : "=l"(value) : "l"(at) : "memory");
  return value;
}
inline void put_far(u64* at, u64 value) {
  asm volatile("st.relaxed.sys.global.u64 [%0], %1;" : : "l"(at), "l"(value) : "memory");
}
inline void put_near(u64* at, u64 value) {
  asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" : : "l"(at), "l"(value) : "memory");
}
inline void put_near(u32* at, u32 value) {
  asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" : : "l"(at), "r"(value) : "memory");
}
inline void fence_near() { asm volatile("fence.acq_rel.gpu;" : : : "memory"); }
inline void fence_far() { asm volatile("fence.acq_rel.sys;" : : : "memory"); }
inline void fence_total() { asm volatile("fence.sc.sys;" : : : "memory"); }
inline void barrier(u32 name, u32 lanes) {
  asm volatile("barrier.sync %0, %1;" : : "r"(name), "r"(lanes) : "memory");
}
inline u64 clock_ns() {
  u64 now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  return now;
}

inline u32 low(u64 word) { return u32(word); }
inline u32 high(u64 word) { return u32(word >> 32); }
// Whether sequence number `a` is `b` or after it.
inline bool reached(u32 a, u32 b) { return i32(a - b) >= 0; }
inline u32 place_of(u32 n, u32 word) { return (n * SLOT + word) % WORDS; }

// What one look of a warp saw of the window of slots from `base` on: a word a lane.
struct View {
  u64 word;
  u32 base;
  u32 whole;  // a bit for each lane whose word ends a sector that has its slot's number
};

inline View view_of(u64 word, u32 base, u32 lane) {
  bool stamped = lane % SECTOR == SECTOR - 1 && high(word) == base + lane / SLOT;
  View view = {word, base, __ballot_sync(0xffffffffu, stamped)};
  return view;
}

// The descriptor at `n` of a view.
struct Found {
  u32 slots;  // how many it takes; 0 when it is not there, not whole, or not all in view
  u32 first;  // the lane that has its first word
  u32 control;
};

inline Found find(const View& view, u32 n) {
  u32 ahead = n - view.base;
  Found found = {0, ahead * SLOT, 0};
  if (ahead >= WINDOW) return found;
  found.control = __shfl_sync(0xffffffffu, low(view.word), found.first + SECTOR - 1);
  u32 slots = found.control >> 16 & 15;
  if (slots == 0 || ahead + slots > WINDOW) return found;
  u32 needed = (0x88888888u >> (32 - SLOT * slots)) << found.first;
  if ((view.whole & needed) == needed) found.slots = slots;
  return found;
}

// Carries descriptors from the host's slots to the board, one after the other, and sees to the
// instance's coming and leaving. One warp, in a block of its own.
struct Post {
  u32 next;  // the next descriptor
  u32 seen;  // that of a while ago
  u64 says;
  u64 started;
  u64 busy;
};

// Where a look at the slots begins, and what it saw. Its words may still be on their way.
struct Look {
  u32 base;
  u64 word;
};
inline Look look(const Ring& ring, u32 base, u32 lane) {
  // Half a window costs less, and is what most descriptors take.
  Look taken = {base, 0};
  if (lane < WINDOW * SLOT / 2) taken.word = look_far(ring.slots + place_of(base, lane));
  return taken;
}

// Carries what a look saw. Says whether this instance is asked to leave.
inline bool carry(const Ring& ring, Post& post, const View& view, u32 lane) {
  for (Found found = find(view, post.next); found.slots; found = find(view, post.next)) {
    u32 last = post.next + found.slots - 1;
    if (found.control >> 24 & LEAVE) {
      u32 whose = low(__shfl_sync(0xffffffffu, view.word, found.first));
      while (!reached(low(look_near(ring.shared)), post.next - 1)) {}
      if (lane == 0) put_near(&ring.shared->done, last);
      // One that was meant for an instance before this one is skipped.
      if (whose == ring.epoch) return true;
    } else {
      u32 part = lane - found.first;
      if (part < SLOT * found.slots) put_near(ring.board + place_of(post.next, part), view.word);
    }
    post.next = last + 1;
  }
  return false;
}

// Carries what a look saw; what begins in it and goes on beyond after another look.
inline bool attend(const Ring& ring, Post& post, const Look& taken, u32 lane) {
  View view = view_of(taken.word, taken.base, lane);
  if (!view.whole) return false;
  if (carry(ring, post, view, lane)) return true;
  u32 ahead = post.next - view.base;
  bool begun = ahead < WINDOW && view.whole >> (SLOT * ahead + SECTOR - 1) & 1;
  if (!begun) return false;
  u64 word = look_far(ring.slots + place_of(post.next, lane));
  return carry(ring, post, view_of(word, post.next, lane), lane);
}

// Says that it is there too long, or leaves when it was idle for long. Says whether it leaves.
inline bool leaves(const Ring& ring, Post& post, u32 lane) {
  u64 time = clock_ns();
  if (post.next != post.seen || low(look_near(ring.shared)) != post.next - 1) post.busy = time;
  post.seen = post.next;
  if (time - post.started > ring.residence && !(post.says & TIRED)) {
    post.says |= TIRED;
    if (lane == 0) put_far(ring.say, post.says);
  }
  if (time - post.busy <= ring.idle) return false;
  // Says first that it leaves, and then looks a last time. The host publishes first, and then
  // looks what is said. So one of the two sees the other.
  if (lane == 0) put_far(ring.say, post.says | LEAVING);
  __syncwarp();
  fence_total();
  u64 last = look_far(ring.slots + place_of(post.next, lane));
  bool drained = low(look_near(ring.shared)) == post.next - 1;
  if (drained && !find(view_of(last, post.next, lane), post.next).slots) return true;
  if (lane == 0) put_far(ring.say, post.says);
  post.busy = time;
  return false;
}

// The last thing that an instance does. What it says then is true: none of it looks any more.
inline void leave(const Ring& ring, u64 says, u32 workers) {
  put_near(&ring.shared->left, ring.epoch);
  while (high(look_near(&ring.shared->count)) != workers) {}
  put_near(&ring.shared->out, 0);
  fence_far();
  put_far(ring.say, says | GONE);
}

inline void serve(const Ring& ring, u32 lane, u32 workers) {
  enum : u32 { APART = 600, LOOKS = 16 };  // nanoseconds between two looks; looks between checks
  u64 now = clock_ns();
  u32 next = low(look_near(ring.shared)) + 1;
  Post post = {next, next, u64(ring.epoch) << EPOCH_SHIFT, now, now};
  // Two looks are under way, since each takes long.
  Look one = look(ring, next, lane);
  __nanosleep(APART);
  Look other = look(ring, next, lane);
  for (u32 turn = 1;; ++turn) {
    if (attend(ring, post, one, lane)) break;
    one = look(ring, post.next, lane);
    if (attend(ring, post, other, lane)) break;
    other = look(ring, post.next, lane);
    if (turn % LOOKS == 0 && leaves(ring, post, lane)) break;
  }
  if (lane == 0) leave(ring, post.says, workers);
}

// One kernel's work, as the workers of a block see it.
struct Job {
  void* buffers[16];
  u64 params[64];
  u64 shape;
  u32 entry;
  u32 groups;
};

// A descriptor as the workers of a block see it.
struct Frame {
  u64 word[WINDOW * SLOT];
  Job job;   // of one that is no program
  u32 last;  // its last sequence number
  u32 gone;
};

// Where word `d` of a descriptor's data lies.
inline u32 data_at(u32 d) { return d == 0 ? 6 : SLOT + (d - 1) / 3 * SECTOR + (d - 1) % 3; }

// Spreads the parameters of which those that are not zero have come. For one warp.
template <typename Data> inline void spread(u64 (&params)[64], u64 mask, u32 lane, Data data) {
  UNROLL for (u32 half = 0; half < 2; ++half) {
    u32 i = 32 * half + lane;
    u32 before = __popcll(mask & ((u64(1) << i) - 1));
    params[i] = mask >> i & 1 ? data(before) : 0;
  }
}

// Waits for the next descriptor that needs this block, and fills the frame. For one warp.
inline void take(const Ring& ring, Frame& frame, u32& n, u32 block, u32 lane) {
  View view;
  Found found;
  u64 now;
  for (;;) {
    u64 word = look_near(ring.board + place_of(n, lane));
    now = look_near(ring.shared);
    view = view_of(word, n, lane);
    found = find(view, n);
    if (found.slots) {
      u32 wanted = high(__shfl_sync(0xffffffffu, word, 5)) & 0xffff;
      if (block < wanted) break;
      n += found.slots;
    } else if (high(now) == ring.epoch) {
      frame.gone = 1;
      return;
    } else if (reached(low(now), n)) {
      // It was done without this block, and may be overwritten.
      n = low(now) + 1;
    }
  }
  frame.word[lane] = view.word;
  __syncwarp();
  Job& job = frame.job;
  u32 buffers = found.control >> 20 & 15;
  if (lane < buffers) job.buffers[lane] = reinterpret_cast<void*>(frame.word[data_at(lane)]);
  if (!(found.control >> 24 & WALK)) {
    spread(job.params, frame.word[1], lane,
           [&](u32 d) { return frame.word[data_at(buffers + d)]; });
    if (lane == 0) {
      job.shape = frame.word[5];
      job.entry = found.control & 0xffff;
      job.groups = low(frame.word[7]);
    }
  }
  // What came before in the stream.
  while (!reached(low(now), n - 1)) now = look_near(ring.shared);
  // What another stream's executor is to do first.
  if (const u64* awaited = reinterpret_cast<const u64*>(frame.word[2])) {
    while (look_far(awaited) < frame.word[4] && !look_far(ring.abort)) {}
  }
  fence_near();
  n += found.slots;
  frame.last = n - 1;
}

// Says that this block has done its part; the last one tells the host. For one lane.
inline void finish(const Ring& ring, const Frame& frame, u32 blocks) {
  fence_near();
  if (blocks > 1) {
    // Wraps to 0 with the last.
    if (atomicInc(&ring.shared->count, blocks - 1) != blocks - 1) return;
    put_near(&ring.shared->met, 0);
    fence_near();
  }
  put_far(ring.word, frame.word[0]);
  put_near(&ring.shared->done, frame.last);
}

__noinline__ void dispatch(u32 entry, Place at, const Job& job) {
  switch (entry) {
#define RESIDENT(index, name) \
  case index: name(at, job.buffers, job.params); break;
    WOOTZ_ENTRIES
#undef RESIDENT
  }
}

inline u32 blocks_of(u64 shape) { return shape >> 32 & 0xffff; }

// Does what `block` of `blocks` has to do of a job. For all workers.
inline void run(const Job& job, u8* memory, u32 block, u32 blocks) {
  u32 lanes = job.shape & 0xffff, together = job.shape >> 16 & 0xffff;
  u32 side = threadIdx.x / lanes;
  if (blocks > blocks_of(job.shape)) blocks = blocks_of(job.shape);
  if (side >= together || block >= blocks) return;
  Place at;
  at.groups = job.groups;
  at.lane = threadIdx.x - side * lanes;
  at.lanes = lanes;
  at.memory = memory + side * (u32(job.shape >> 48) * 16);
  at.barrier = 1 + side;
  // Neighbours to the same block, so that work of one shape finds in it what it left there.
  u32 share = (job.groups + blocks - 1) / blocks, first = block * share;
  u32 end = first + share < job.groups ? first + share : job.groups;
  for (u32 group = first + side; group < end; group += together) {
    at.group = group;
    dispatch(job.entry, at, job);
    // The next group has the same scratch memory.
    scratch_barrier(at);
  }
}

// Part of a program, and the step that is done and the next one.
struct Walk {
  u64 words[CHUNK];
  Job jobs[2];
};

// Unpacks a step of a program. For one warp.
inline void unpack(Job& job, const u64* step, void* const* slots, u32 lane) {
  enum : u32 { SLOT_SHIFT = 56 };
  u32 buffers = step[0] >> 16 & 15;
  if (lane < buffers) {
    // Relative to one of the walk's slots, or where it is.
    u64 place = step[HEAD + lane];
    u64 slot = place >> SLOT_SHIFT;
    if (slot) place += reinterpret_cast<u64>(slots[slot - 1]) - (slot << SLOT_SHIFT);
    job.buffers[lane] = reinterpret_cast<void*>(place);
  }
  spread(job.params, step[3], lane, [&](u32 d) { return step[HEAD + buffers + d]; });
  if (lane == 0) {
    job.shape = step[1];
    job.entry = step[0] & 0xffff;
    job.groups = low(step[2]);
  }
}

// Waits until all blocks have come here `times` times, and what they wrote is seen. For one lane,
// between barriers of its block.
inline void meet(const Ring& ring, u32 blocks, u32 times) {
  fence_near();
  atomicAdd(&ring.shared->met, 1);
  while (low(look_near(&ring.shared->met)) < blocks * times) {}
  fence_near();
}

// Does the steps of a program, one after the other; the blocks meet where a step needs what others
// have done. For all workers.
inline void walk(const Ring& ring, const Frame& frame, Walk& state, u8* memory, u32 block,
                 u32 blocks) {
  const u64* program = reinterpret_cast<const u64*>(frame.word[1]);
  u32 steps = low(frame.word[7]), words = low(frame.word[5]);
  u32 start = 0, next = 0, meetings = 0, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  for (u32 step = 0; step <= steps; ++step) {
    if (step > 0) {
      const Job& job = state.jobs[step % 2];
      // Steps that are independent begin with different blocks.
      u32 first = high(state.words[next - start + 2]);
      next += high(state.words[next - start]);
      run(job, memory, (block + blocks - first % blocks) % blocks, blocks);
      barrier(0, WOOTZ_WORKERS);
      if (step == steps) break;
    }
    if (step == 0 || (next + LONGEST > start + CHUNK && start + CHUNK < words)) {
      start = next;
      for (u32 i = threadIdx.x; i < CHUNK && start + i < words; i += WOOTZ_WORKERS) {
        state.words[i] = program[start + i];
      }
      barrier(0, WOOTZ_WORKERS);
    }
    const u64* coming = state.words + (next - start);
    bool meets = coming[0] >> 24 & 1;
    meetings += meets;
    if (warp == 1) unpack(state.jobs[(step + 1) % 2], coming, frame.job.buffers, lane);
    if (meets && blocks > 1 && threadIdx.x == 0) meet(ring, blocks, meetings);
    barrier(0, WOOTZ_WORKERS);
  }
}

inline void work(const Ring& ring, u32 block, u32 workers) {
  __shared__ Frame frame;
  __shared__ Walk state;
  __shared__ __align__(16) unsigned char memory[WOOTZ_SCRATCH];
  u32 n = low(look_near(ring.shared)) + 1;
  if (threadIdx.x == 0) frame.gone = 0;
  for (;;) {
    if (threadIdx.x < 32) take(ring, frame, n, block, threadIdx.x);
    barrier(0, WOOTZ_WORKERS);
    if (frame.gone) break;
    u32 blocks = blocks_of(frame.word[5]);
    if (blocks > workers) blocks = workers;
    if (frame.word[3] >> 24 & WALK) {
      walk(ring, frame, state, memory, block, blocks);
    } else {
      run(frame.job, memory, block, blocks);
      barrier(0, WOOTZ_WORKERS);
    }
    if (threadIdx.x == 0) finish(ring, frame, blocks);
  }
  if (threadIdx.x == 0) atomicAdd(&ring.shared->out, 1);
}

}  // namespace resident
}  // namespace wootz

extern "C" __global__ void wootz_resident(const __grid_constant__ wootz::resident::Ring ring) {
  wootz::u32 workers = gridDim.x - 1;
  if (blockIdx.x > 0) {
    wootz::resident::work(ring, blockIdx.x - 1, workers);
  } else if (threadIdx.x < 32) {
    wootz::resident::serve(ring, threadIdx.x, workers);
  }
}
