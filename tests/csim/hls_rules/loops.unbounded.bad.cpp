#include <cstdint>
#include <hls_burst_maxi.h>
#include <hls_stream.h>

void f(int n, hls::stream<int>& out) {
  const int m = n;
  for (int k = 0; k < n; ++k) out.write(k);  // refused
  for (int k = 0; k < m; ++k) out.write(k);  // refused
  while (n > 0) out.write(n--);              // refused
  do {                                       // refused
    out.write(n);
  } while (n++ < 0);
}
