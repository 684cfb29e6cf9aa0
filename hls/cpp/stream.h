// SPDX-License-Identifier: Apache-2.0
// Streams and dataflow regions, for synthesis and for simulation.
//
// Under Vitis (which defines __SYNTHESIS__, or SLICEFLOW_VENDOR for its own C simulation) hls_stream.h is the vendor's and a process is a
// plain call. In our simulation it is sim/hls_stream.h: streams are bounded, and the processes of a region run as cooperative
// fibers, so that a deadlock is found and named.
#pragma once

#include <hls_stream.h>

#if defined(__SYNTHESIS__) || defined(SLICEFLOW_VENDOR)
#define SLICEFLOW_REGION_BEGIN(name)
#define SLICEFLOW_PROCESS(label, function, ...) function(__VA_ARGS__)
#define SLICEFLOW_REGION_END
#define SLICEFLOW_MEMORY(type, name) type name
#define SLICEFLOW_LAYER(index)
#else
#include "sim/region.h"
#endif
