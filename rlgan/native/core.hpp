// The native core of rlgan: plain C functions on raw float32 arrays, called through ctypes (see library.py). Work is split
// over the threads that the caller names; no state is kept between calls.
#pragma once

#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#include "layers.hpp"

#if defined(_WIN32)
#define RLGAN_EXPORT extern "C" __declspec(dllexport)
#else
#define RLGAN_EXPORT extern "C" __attribute__((visibility("default")))
#endif

// The kernels in use.
const Kernels& kernels();

inline int64_t rounded_up(int64_t count, int64_t step) { return (count + step - 1) / step * step; }

// work(begin, end) over [0, count), in parts that are multiples of `grain`; the calling thread takes the first.
template <typename Work>
void in_parallel(int64_t threads, int64_t count, int64_t grain, const Work& work) {
    const int64_t grains = (count + grain - 1) / grain;
    if (threads > grains) threads = grains;
    if (threads <= 1) return work(int64_t{0}, count, int64_t{0});
    std::vector<std::thread> others;
    const auto edge = [&](int64_t i) { return i >= threads ? count : grains * i / threads * grain; };
    for (int64_t i = 1; i < threads; i++) others.emplace_back([&, i] { work(edge(i), edge(i + 1), i); });
    work(edge(0), edge(1), int64_t{0});
    for (auto& other : others) other.join();
}

// work(i, thread) for every i in [0, count), whichever thread is free.
template <typename Work>
void one_by_one(int64_t threads, int64_t count, const Work& work) {
    std::atomic<int64_t> next{0};
    in_parallel(threads, threads < count ? threads : count, 1, [&](int64_t, int64_t, int64_t thread) {
        for (int64_t i = next++; i < count; i = next++) work(i, thread);
    });
}

// work(begin, end, thread) over [0, count), to whichever of several threads is free, in pieces of at most `most`, which is a
// multiple of `grain`: a thread whose core is shared with another job takes fewer of them. One thread takes all at once.
template <typename Work>
void in_pieces(int64_t threads, int64_t count, int64_t grain, int64_t most, const Work& work) {
    if (threads <= 1 || count <= grain) return work(int64_t{0}, count, int64_t{0});
    const int64_t share = rounded_up((count + threads - 1) / threads, grain), piece = share < most ? share : most;
    one_by_one(threads, (count + piece - 1) / piece, [&](int64_t i, int64_t thread) {
        work(i * piece, count - i * piece < piece ? count : (i + 1) * piece, thread);
    });
}
