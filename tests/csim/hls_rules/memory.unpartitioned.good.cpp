#include <cstdint>
#include <hls_burst_maxi.h>
#include <hls_stream.h>

struct Words {
  int lane[16];
};

void gather(hls::stream<int>& places, hls::stream<int>& out) {
  Words words = Words();
  Words fixed = Words();
#pragma HLS array_partition variable = words.lane complete
  for (int n = 0; n < 64; ++n) {
#pragma HLS pipeline II = 1
    const int place = places.read();
    words.lane[place] = n;
    for (int k = 0; k < 16; ++k) {
#pragma HLS unroll
      fixed.lane[k] = n;
    }
    out.write(words.lane[0] + fixed.lane[15]);
  }
}
