#include <cstdint>
#include <hls_burst_maxi.h>
#include <hls_stream.h>

void copy(int* to, int count, int used, hls::stream<int>& in) {
  for (int n = 0; n < count; ++n) {
#pragma HLS loop_tripcount min = 1 max = 64
    const int value = in.read();
    if (n < used) to[n] = value;  // refused
  }
}
