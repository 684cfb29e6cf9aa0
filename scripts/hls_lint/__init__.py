"""Rules of HLS tools on the kernel's C++, seen in clang's syntax tree: ``python -m scripts.hls_lint``."""
