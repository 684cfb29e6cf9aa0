#include <cstdint>
#include <hls_burst_maxi.h>
#include <hls_stream.h>

struct Words {
  int lane[16];
};

void gather(hls::stream<int>& places, hls::stream<int>& out) {
  Words words = Words();
  for (int n = 0; n < 64; ++n) {
#pragma HLS pipeline II = 1
    const int place = places.read();
    words.lane[place] = n;  // refused
    out.write(words.lane[0]);
  }
}
