"""RTL simulation: the SystemVerilog kernel, compiled by Verilator and driven through its registers."""
