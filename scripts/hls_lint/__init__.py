"""Rules of HLS tools on the kernel's C++, seen in clang's syntax tree; see ``scripts/lint_hls.py``."""
