#include <cstdint>
#include <hls_burst_maxi.h>
#include <hls_stream.h>

void every(const int* from, int first, int count, hls::stream<int>& out) {
  for (int n = 0; n < count; ++n) {
#pragma HLS loop_tripcount min = 1 max = 64
    out.write(from[8 * first + n]);
  }
}
