// The executor: the kernel that stays on the device and walks one stream's ring. README.md beside
// this file tells the protocol and why each fence is there.
//
// It comes after a module in the dialect, compiled with WOOTZ_RESIDENT, and before it stand, from
// Rust: WOOTZ_SLOTS, WOOTZ_WORKERS, WOOTZ_SCRATCH, and the kernels, each a RESIDENT(index, name) in
// one of two runs: WOOTZ_IN_PLACE and, from WOOTZ_FIRST_CALLED on, WOOTZ_CALLED.

namespace wootz {
namespace resident {

enum : u32 {
  SECTOR = 4,  // words of a sector, which travels whole; the last carries the stamp
  SLOT = 8,    // words of a slot
  WINDOW = 4,  // slots that a warp sees with one look
  LOOKS = 16,  // of the post, from one time that it sees to other things to the next
  WORDS = WOOTZ_SLOTS * SLOT,
  LEAVE = 1,             // the flag of a descriptor that asks the executor to leave
  WALK = 2,              // the flag of a descriptor of a program
  HEAD = 4,              // words of a program's step before its buffers
  CHUNK = 512,           // words of a program that a block holds
  LONGEST = HEAD + 15 + 64,
  CREW = WOOTZ_WORKERS + 32,  // the workers of a block and its clerk
  HANDED = 0,                 // two barriers: a job is there
  RETURNED = 2,               // two barriers: a job is done
  GROUPS = 4,                 // barriers of groups that are side by side
};

// What the executor says of itself, below its epoch.
enum : u32 { TIRED = 1, LEAVING = 2, GONE = 4, EPOCH_SHIFT = 3 };

// What the blocks of one ring share, in device memory. It outlives every instance.
struct Shared {
  u32 done;    // the sequence number that is done last
  u32 left;    // the epoch of the last instance that left
  u64 ticket;  // that of the last work that is done
  u32 pad[28];
  u32 count;  // blocks that have done their part of the open descriptor
  u32 out;    // blocks that have seen `left`
  u32 pad_of_count[30];
  u32 met;   // how often blocks have met in the open program, all of them together
  u32 here;  // blocks that have begun
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
  u32 first;         // the sequence number before which descriptors that are not done are void
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
inline void arrive(u32 name, u32 lanes) {
  asm volatile("barrier.arrive %0, %1;" : : "r"(name), "r"(lanes) : "memory");
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
// instance's leaving. One warp, in a block of its own.
struct Post {
  u32 workers;  // blocks that work
  u32 next;     // the next descriptor
  u32 seen;     // that of a while ago
  u64 says;     // nothing before all blocks have begun
  u64 started;
  u64 busy;
  u64 ticket;  // the last done, a while ago
};

// Words of blocks that finished one after the other may have come to the host the other way round.
// So the last is written again when it has stood for a while; also while work is open, since that
// may wait for one who waits for this word.
inline void repeat(const Ring& ring, Post& post, u32 lane) {
  u64 ticket = look_near(&ring.shared->ticket);
  if (lane == 0 && ticket == post.ticket) put_far(ring.word, ticket);
  post.ticket = ticket;
}

// Says something more. Until all blocks have begun nobody counts on this instance.
inline void say(const Ring& ring, Post& post, u64 more, u32 lane) {
  post.says |= more;
  if (lane == 0) put_far(ring.say, post.says);
}

// Carries what a look saw. Says whether this instance is asked to leave.
inline bool carry(const Ring& ring, Post& post, const View& view, u32 lane) {
  for (Found found = find(view, post.next); found.slots; found = find(view, post.next)) {
    u32 last = post.next + found.slots - 1;
    if (found.control >> 24 & LEAVE) {
      u32 whose = low(__shfl_sync(0xffffffffu, view.word, found.first));
      for (u32 turn = 1; !reached(low(look_near(ring.shared)), post.next - 1); ++turn) {
        if (turn % LOOKS == 0) repeat(ring, post, lane);
      }
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

// Looks, and carries what is there. Says whether this instance is asked to leave.
inline bool attend(const Ring& ring, Post& post, u32 lane) {
  // Half a window costs less, and is what most descriptors take.
  for (u32 reach = WINDOW * SLOT / 2;; reach = WINDOW * SLOT) {
    u32 base = post.next;
    u64 word = lane < reach ? look_far(ring.slots + place_of(base, lane)) : 0;
    View view = view_of(word, base, lane);
    if (!view.whole) return false;
    if (carry(ring, post, view, lane)) return true;
    // Another has begun in view, and goes on beyond.
    u32 ahead = post.next - base;
    if (ahead >= WINDOW || !(view.whole >> (SLOT * ahead + SECTOR - 1) & 1)) return false;
  }
}

// Says that it is there, and later too long, or leaves when it was idle for long. Says whether it
// leaves.
inline bool leaves(const Ring& ring, Post& post, u32 lane) {
  u64 time = clock_ns();
  if (post.next != post.seen || low(look_near(ring.shared)) != post.next - 1) post.busy = time;
  repeat(ring, post, lane);
  post.seen = post.next;
  if (!post.says) {
    if (high(look_near(&ring.shared->met)) != post.workers) return false;
    say(ring, post, u64(ring.epoch) << EPOCH_SHIFT, lane);
  }
  if (time - post.started > ring.residence && !(post.says & TIRED)) say(ring, post, TIRED, lane);
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

// The last thing that an instance does. What it says then is true: none of it looks any more, and
// the host's word is that of the last ticket.
inline void leave(const Ring& ring, const Post& post) {
  put_near(&ring.shared->left, ring.epoch);
  while (high(look_near(&ring.shared->count)) != post.workers) {}
  put_near(&ring.shared->out, 0);
  put_near(&ring.shared->here, 0);
  // Behind the words that the blocks have written, each before a fence and this count.
  fence_far();
  put_far(ring.word, look_near(&ring.shared->ticket));
  fence_far();
  put_far(ring.say, post.says | u64(ring.epoch) << EPOCH_SHIFT | GONE);
}

inline void serve(const Ring& ring, u32 lane, u32 workers) {
  u64 now = clock_ns();
  u32 next = low(look_near(ring.shared)) + 1;
  if (reached(ring.first, next + 1)) {
    next = ring.first;
    if (lane == 0) put_near(&ring.shared->done, next - 1);
  }
  Post post = {workers, next, next, 0, now, now, 0};
  // One look at a time: those of one place wait for each other, and slow the host's way here.
  for (u32 turn = 1;; ++turn) {
    if (attend(ring, post, lane)) break;
    if (turn % LOOKS == 0 && leaves(ring, post, lane)) break;
  }
  if (lane == 0) leave(ring, post);
}

// Which groups a block runs, and how they lie on its lanes.
struct __align__(16) Share {
  u32 first;    // of the groups
  u32 end;      // of the groups
  u32 sides;    // lanes of a group, and above them how many groups lie side by side
  u32 inverse;  // of the lanes of a group, by which a lane finds its side
  u32 groups;   // in all blocks
  u32 memory;   // bytes of scratch memory of a group
  u32 entry;
  u32 gone;  // nothing, and never again
};

// What the workers of a block are to do.
struct Job {
  Share share;
  void* buffers[16];
  u64 params[64];
};

// A block's scratch memory beside that of its groups: jobs are handed over in turn.
struct Desk {
  Job jobs[2];
  u64 words[CHUNK];  // part of a program
  u32 spots[WOOTZ_WORKERS];  // where each worker is
};

// The clerk: a warp of each block that finds out what is to do, hands it to the workers, and tells
// the other blocks and the host when it is done. Job `n` has place and barriers `n % 2`.
struct Clerk {
  const Ring& ring;
  Desk& desk;
  u32 block;
  u32 workers;  // blocks that work
  u32 lane;
  u32 handed;    // jobs that were handed over
  u32 returned;  // those that came back
};

inline void await_one(Clerk& clerk) { barrier(RETURNED + clerk.returned++ % 2, CREW); }
inline void await_all(Clerk& clerk) {
  while (clerk.returned != clerk.handed) await_one(clerk);
}
inline Job& blank(Clerk& clerk) {
  if (clerk.handed - clerk.returned == 2) await_one(clerk);
  return clerk.desk.jobs[clerk.handed % 2];
}
inline void hand_over(Clerk& clerk) { arrive(HANDED + clerk.handed++ % 2, CREW); }

// Where word `d` of a descriptor's data lies.
inline u32 data_at(u32 d) { return d == 0 ? 6 : SLOT + (d - 1) / 3 * SECTOR + (d - 1) % 3; }

// Spreads the parameters of which those that are not zero have come. For one warp.
template <typename Data> inline void spread(u64 (&params)[64], u64 mask, u32 lane, Data data) {
  UNROLL for (u32 half = 0; half < 2; ++half) {
    u32 i = 32 * half + lane;
    u64 word = data(__popcll(mask & ((u64(1) << i) - 1)));
    params[i] = mask >> i & 1 ? word : 0;
    if (mask >> 32 == 0 && half == 0) {
      params[32 + lane] = 0;
      break;
    }
  }
}

// The next descriptor that needs this block.
struct Taken {
  u64 word;     // a word a lane
  u32 control;  // 0 when the instance leaves
  u32 last;     // its last sequence number
};
inline u64 word_of(const Taken& taken, u32 word) { return __shfl_sync(0xffffffffu, taken.word, word); }

// Waits for the descriptor from `n` on that needs this block.
inline Taken take(Clerk& clerk, u32 n) {
  const Ring& ring = clerk.ring;
  for (;;) {
    u64 word = look_near(ring.board + place_of(n, clerk.lane));
    u64 now = look_near(ring.shared);
    Found found = find(view_of(word, n, clerk.lane), n);
    if (found.slots) {
      u32 wanted = high(__shfl_sync(0xffffffffu, word, 5)) & 0xffff;
      n += found.slots;
      if (clerk.block >= wanted) continue;
      Taken taken = {word, found.control, n - 1};
      return taken;
    }
    if (high(now) == ring.epoch) {
      Taken taken = {0, 0, 0};
      return taken;
    }
    // It was done without this block, and may be overwritten.
    if (reached(low(now), n)) n = low(now) + 1;
  }
}

// Waits until work of a descriptor may begin.
inline void await_turn(const Ring& ring, const Taken& taken) {
  u32 slots = taken.control >> 16 & 15;
  // What came before in the stream.
  while (!reached(low(look_near(ring.shared)), taken.last - slots)) {}
  // What another stream's executor is to do first.
  if (const u64* awaited = reinterpret_cast<const u64*>(word_of(taken, 2))) {
    u64 value = word_of(taken, 4);
    while (look_far(awaited) < value && !look_far(ring.abort)) {}
  }
}

// Says that this block has done its part; the last one tells the host.
inline void finish(Clerk& clerk, const Taken& taken, u32 blocks, bool met) {
  const Ring& ring = clerk.ring;
  await_all(clerk);
  u64 ticket = word_of(taken, 0);
  if (clerk.lane == 0) {
    fence_near();
    // Wraps to 0 with the last.
    if (blocks == 1 || atomicInc(&ring.shared->count, blocks - 1) == blocks - 1) {
      if (met) {
        put_near(&ring.shared->met, 0);
        fence_near();
      }
      put_far(ring.word, ticket);
      put_near(&ring.shared->ticket, ticket);
      put_near(&ring.shared->done, taken.last);
    }
  }
  __syncwarp();
}

inline u32 blocks_of(u64 shape) { return shape >> 32 & 0xffff; }

// Reads a job's share anew each time: no register is taken for it while a kernel runs.
inline Share share_of(const Job& job) {
  u32 at = u32(__cvta_generic_to_shared(&job.share));
  Share share;
  asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(share.first), "=r"(share.end), "=r"(share.sides), "=r"(share.inverse)
               : "r"(at)
               : "memory");
  asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(share.groups), "=r"(share.memory), "=r"(share.entry), "=r"(share.gone)
               : "r"(at + 16)
               : "memory");
  return share;
}

// Where a worker is: at which of the two jobs, and at which turn of its groups. It is kept in scratch
// memory: what lives while a kernel runs would else be on the stack, and fences empty the cache that
// the stack is in.
struct Spot {
  u32 job;
  u32 turn;
};
inline u32 spot_at(const Desk& desk) {
  u32 lane;
  // Found anew each time, for the same reason.
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(lane));
  return u32(__cvta_generic_to_shared(&desk.spots[lane]));
}
inline Spot find_spot(const Desk& desk) {
  u32 word;
  asm volatile("ld.shared.u32 %0, [%1];" : "=r"(word) : "r"(spot_at(desk)) : "memory");
  Spot spot = {word & 1, word >> 1};
  return spot;
}
inline void go_to(const Desk& desk, u32 job, u32 turn) {
  asm volatile("st.shared.u32 [%0], %1;" : : "r"(spot_at(desk)), "r"(job | turn << 1) : "memory");
}

// A worker's place in a turn. Says whether it has one.
__forceinline__ bool place_in(const Share& share, u32 turn, u8* memory, Place& at) {
  u32 together = share.sides >> 16, side = threadIdx.x * share.inverse >> 16;
  at.group = share.first + turn * together + side;
  if (side >= together || at.group >= share.end) return false;
  at.groups = share.groups;
  at.lanes = share.sides & 0xffff;
  at.lane = threadIdx.x - side * at.lanes;
  at.memory = memory + side * share.memory;
  at.barrier = GROUPS + side;
  // The group before it had the same scratch memory.
  if (turn > 0) scratch_barrier(at);
  return true;
}

// The block's part of a job, for all workers, by one of the kernels.
template <typename Kernels> __forceinline__ void run(const Desk& desk, u8* memory) {
  for (;;) {
    Spot spot = find_spot(desk);
    const Job& job = desk.jobs[spot.job];
    Share share = share_of(job);
    Place at;
    if (!place_in(share, spot.turn, memory, at)) return;
    go_to(desk, spot.job, spot.turn + 1);
    Kernels::run(share.entry, at, job);
  }
}

struct InPlace {
  static __forceinline__ void run(u32 entry, Place at, const Job& job) {
    switch (entry) {
#define RESIDENT(index, name) \
  case index: name##_in_place(at, job.buffers, job.params); break;
      WOOTZ_IN_PLACE
#undef RESIDENT
    }
  }
};
struct Called {
  static __forceinline__ void run(u32 entry, Place at, const Job& job) {
    switch (entry) {
#define RESIDENT(index, name) \
  case index: name(at, job.buffers, job.params); break;
      WOOTZ_CALLED
#undef RESIDENT
    }
  }
};
// A call saves registers, and who makes it keeps what it needs on the stack. So those kernels have a
// loop of their own, which alone pays for that.
__noinline__ void run_called(const Desk& desk, u8* memory) { run<Called>(desk, memory); }

// Block `block` of `blocks` has its share of so many groups, neighbours to the same block, so that
// work of one shape finds in it what it left there. One lane of the clerk.
inline void share_out(Job& job, u64 shape, u32 groups, u32 block, u32 blocks) {
  u32 lanes = shape & 0xffff;
  if (blocks > blocks_of(shape)) blocks = blocks_of(shape);
  u32 each = (groups + blocks - 1) / blocks, first = block * each;
  Share& share = job.share;
  share.first = first;
  share.end = first + each < groups ? first + each : groups;
  share.sides = u32(shape);
  // Exact for as many lanes as a block has.
  share.inverse = (0x10000 + lanes - 1) / lanes;
  share.groups = groups;
  share.memory = u32(shape >> 48) * 16;
}

// A descriptor of one kernel.
inline void hand_kernel(Clerk& clerk, const Taken& taken, u32 blocks) {
  Job& job = blank(clerk);
  u32 buffers = taken.control >> 20 & 15, lane = clerk.lane;
  u64 address = word_of(taken, data_at(lane) % (WINDOW * SLOT));
  if (lane < buffers) job.buffers[lane] = reinterpret_cast<void*>(address);
  spread(job.params, word_of(taken, 1), lane,
         [&](u32 d) { return word_of(taken, data_at(buffers + d) % (WINDOW * SLOT)); });
  u64 shape = word_of(taken, 5), groups = word_of(taken, 7);
  if (lane == 0) {
    job.share.entry = taken.control & 0xffff;
    share_out(job, shape, low(groups), clerk.block, blocks);
  }
  await_turn(clerk.ring, taken);
  hand_over(clerk);
}

// Unpacks a step of a program.
inline void unpack(Clerk& clerk, Job& job, const u64* step, u64 address, u32 blocks) {
  enum : u32 { MEMORY_SHIFT = 56 };
  u32 buffers = step[0] >> 16 & 15, lane = clerk.lane;
  // Relative to memory that this walk was told of, or where it is.
  u64 place = lane < buffers ? step[HEAD + lane] : 0, memory = place >> MEMORY_SHIFT;
  u64 base = __shfl_sync(0xffffffffu, address, memory ? u32(memory) - 1 : 0);
  if (memory) place += base - (memory << MEMORY_SHIFT);
  if (lane < buffers) job.buffers[lane] = reinterpret_cast<void*>(place);
  // Past the step lies the desk's end at most.
  spread(job.params, step[3], lane, [&](u32 d) {
    u32 at = HEAD + buffers + d;
    return at < high(step[0]) ? step[at] : 0;
  });
  if (lane == 0) {
    job.share.entry = step[0] & 0xffff;
    // Steps that are independent begin with different blocks.
    u32 block = (clerk.block + blocks - high(step[2]) % blocks) % blocks;
    share_out(job, step[1], low(step[2]), block, blocks);
  }
}

// Waits until all blocks have come here `times` times, and what they wrote is there.
inline void meet(Clerk& clerk, u32 blocks, u32 times) {
  await_all(clerk);
  if (clerk.lane == 0) {
    u32* met = &clerk.ring.shared->met;
    fence_near();
    atomicAdd(met, 1);
    while (low(look_near(met)) < blocks * times) {}
  }
  __syncwarp();
}

// A descriptor of a program: its steps one after the other. The blocks meet where a step needs
// what others have done. Says whether they met.
inline bool hand_program(Clerk& clerk, const Taken& taken, u32 blocks) {
  const u64* program = reinterpret_cast<const u64*>(word_of(taken, 1));
  u32 steps = low(word_of(taken, 7)), words = low(word_of(taken, 5)), lane = clerk.lane;
  u64 address = word_of(taken, data_at(lane) % (WINDOW * SLOT));
  u32 start = 0, next = 0, meetings = 0;
  for (u32 step = 0; step < steps; ++step) {
    if (step == 0 || (next + LONGEST > start + CHUNK && start + CHUNK < words)) {
      start = next;
      UNROLL for (u32 i = 0; i < CHUNK; i += 32) {
        if (start + i + lane < words) clerk.desk.words[i + lane] = program[start + i + lane];
      }
      __syncwarp();
    }
    const u64* coming = clerk.desk.words + (next - start);
    next += high(coming[0]);
    Job& job = blank(clerk);
    unpack(clerk, job, coming, address, blocks);
    if (step == 0) await_turn(clerk.ring, taken);
    if (coming[0] >> 24 & 1 && blocks > 1) meet(clerk, blocks, ++meetings);
    __syncwarp();
    hand_over(clerk);
  }
  return meetings > 0;
}

inline void manage(Clerk clerk) {
  if (clerk.lane == 0) atomicAdd(&clerk.ring.shared->here, 1);
  u32 next = low(look_near(clerk.ring.shared)) + 1;
  if (clerk.lane == 0) clerk.desk.jobs[0].share.gone = clerk.desk.jobs[1].share.gone = 0;
  __syncwarp();
  for (;;) {
    Taken taken = take(clerk, next);
    if (taken.control == 0) break;
    u32 blocks = blocks_of(word_of(taken, 5));
    if (blocks > clerk.workers) blocks = clerk.workers;
    bool met = false;
    if (taken.control >> 24 & WALK) {
      met = hand_program(clerk, taken, blocks);
    } else {
      hand_kernel(clerk, taken, blocks);
    }
    finish(clerk, taken, blocks, met);
    next = taken.last + 1;
  }
  Job& job = blank(clerk);
  if (clerk.lane == 0) job.share.gone = 1;
  __syncwarp();
  hand_over(clerk);
  if (clerk.lane == 0) {
    fence_far();
    atomicAdd(&clerk.ring.shared->out, 1);
  }
}

inline void work(const Desk& desk, u8* memory) {
  for (u32 next = 0;; next = find_spot(desk).job ^ 1) {
    go_to(desk, next, 0);
    barrier(HANDED + next, CREW);
    Share share = share_of(desk.jobs[next]);
    if (share.gone) break;
    if (share.entry < WOOTZ_FIRST_CALLED) {
      run<InPlace>(desk, memory);
    } else {
      run_called(desk, memory);
    }
    arrive(RETURNED + find_spot(desk).job, CREW);
  }
}

}  // namespace resident
}  // namespace wootz

extern "C" __global__ void wootz_resident(const __grid_constant__ wootz::resident::Ring ring) {
  using namespace wootz::resident;
  __shared__ Desk desk;
  __shared__ __align__(16) unsigned char memory[WOOTZ_SCRATCH];
  wootz::u32 workers = gridDim.x - 1, lane = threadIdx.x % 32;
  if (blockIdx.x == 0) {
    if (threadIdx.x < 32) serve(ring, lane, workers);
  } else if (threadIdx.x < WOOTZ_WORKERS) {
    work(desk, memory);
  } else {
    manage(Clerk{ring, desk, blockIdx.x - 1, workers, lane, 0, 0});
  }
}
