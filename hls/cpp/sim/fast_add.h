// SPDX-License-Identifier: Apache-2.0
// Simulation only: add pass by pass, on partial sums where they stand. Equal to plain_add, which a test checks.
#pragma once

namespace sliceflow {

// Adds a pass to the accumulators.
template <class C>
void add_pass(int pixels, hls::stream<Partials<C>>& partials, Sums<C>* accumulators) {
  for (int n = 0; n < pixels;) {
    const int count = smaller(partials.await_data(), pixels - n);
    for (int k = 0; k < count; ++k) accumulators[n + k] = add_lanes<C>(accumulators[n + k], partials.peek(k));
    partials.pop(count);
    n += count;
  }
}

// Starts the accumulators with the bias.
template <class C>
void start_pass(int pixels, const Sums<C>& bias, hls::stream<Partials<C>>& partials, Sums<C>* accumulators) {
  for (int n = 0; n < pixels;) {
    const int count = smaller(partials.await_data(), pixels - n);
    for (int k = 0; k < count; ++k) accumulators[n + k] = add_lanes<C>(bias, partials.peek(k));
    partials.pop(count);
    n += count;
  }
}

// The last pass: sums go on.
template <class C>
void end_pass(int pixels, const Sums<C>& bias, bool is_first, hls::stream<Partials<C>>& partials,
              const Sums<C>* accumulators, hls::stream<Sums<C>>& sums) {
  for (int n = 0; n < pixels;) {
    const int count = smaller(smaller(partials.await_data(), sums.await_room()), pixels - n);
    for (int k = 0; k < count; ++k) {
      sums.room(k) = add_lanes<C>(is_first ? bias : accumulators[n + k], partials.peek(k));
    }
    partials.pop(count);
    sums.push(count);
    n += count;
  }
}

template <class C>
void fast_add(const Layer& layer, hls::stream<uint32_t>& strip_pixels, hls::stream<Partials<C>>& partials,
              hls::stream<Sums<C>>& biases, hls::stream<Sums<C>>& sums) {
  typedef Sums<C> Accumulators[C::ACCUMULATOR_PIXELS];
  SLICEFLOW_MEMORY(Accumulators, accumulators);
  for (uint32_t strip = 0; strip < layer.strip_total; ++strip) {
    const int pixels = static_cast<int>(strip_pixels.read());
    for (int out = 0; out < layer.out_count; ++out) {
      const Sums<C> bias = biases.read();
      const uint32_t last = layer.pass_count - 1;
      if (last > 0) start_pass<C>(pixels, bias, partials, accumulators);
      for (uint32_t pass = 1; pass < last; ++pass) add_pass<C>(pixels, partials, accumulators);
      end_pass<C>(pixels, bias, last == 0, partials, accumulators, sums);
    }
  }
}

}  // namespace sliceflow
