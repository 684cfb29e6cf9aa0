#include <cstdint>
#include <hls_burst_maxi.h>
#include <hls_stream.h>

void rows(int height, int width, hls::stream<int>& in, hls::stream<int>& out) {
  for (int y = 0; y < height; ++y) {
#pragma HLS loop_tripcount min = 1 max = 64
    for (int x = 0; x < width; ++x) {  // refused
#pragma HLS loop_tripcount min = 1 max = 64
#pragma HLS pipeline II = 1
      out.write(in.read());
    }
  }
}

void beats(int height, hls::stream<int>& in, hls::stream<int>& out) {
  for (int y = 0; y < height; ++y) {
#pragma HLS loop_tripcount min = 1 max = 64
    const int offset = in.read();
    for (int x = 0; x < 8; ++x) {  // refused
#pragma HLS pipeline II = 1
      out.write(in.read() + offset);
    }
  }
}
