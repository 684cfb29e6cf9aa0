#include <cstdint>
#include <hls_burst_maxi.h>
#include <hls_stream.h>

void sums(int taps, hls::stream<int>& in, hls::stream<int>& out) {
  for (int n = 0; n < 64; ++n) {
#pragma HLS pipeline II = 1
    const int value = in.read();
    int sum = 0;
    for (int first = 0; first < 8; first += 4) {
      for (int k = first; k < first + 4; ++k) {
        if (k < taps) sum += value >> k;
      }
    }
    out.write(sum);
  }
}
