#include <cstdint>
#include <hls_burst_maxi.h>
#include <hls_stream.h>

constexpr int SIZE = 8;

template <class C>
void f(int n, bool on, hls::stream<int>& out) {
  const int half = C::CPI / 2;
  for (int k = 0; k < half; ++k) out.write(k);
  for (int k = 0; on && k < SIZE; ++k) out.write(k);
  for (int k = 0; k < n; ++k) {
#pragma HLS loop_tripcount min = 1 max = 8
    out.write(k);
  }
}
