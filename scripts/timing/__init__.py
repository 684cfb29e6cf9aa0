"""When signals arrive: the delay model of the RTL kernel, from a Yosys netlist to longest paths."""
