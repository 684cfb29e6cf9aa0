"""What is proven of the modules of hls/rtl, and how."""

from __future__ import annotations

import dataclasses

from tests.formal.prover import Mutant, Suite

SUITES = (
    *(
        Suite(
            name=f"fifo of {depth} items",
            module="fifo",
            parameters={"WIDTH": 2, "DEPTH": depth},
            method="induction",
            clocks=1,
            mutants=mutants,
            search=search,
        )
        for depth, search, mutants in (
            (
                4,
                12,
                (
                    Mutant(
                        file="fifo.sv",
                        old="write_q != {~read_q[ADDRESS], read_q[ADDRESS-1:0]}",
                        new="1'b1",
                        breaks="level",
                    ),
                    Mutant(
                        file="fifo.sv",
                        old="assign fetch   = !empty && ready_i;",
                        new="assign fetch = ready_i;",
                        breaks="order",
                    ),
                ),
            ),
            (
                64,
                12,
                (
                    Mutant(
                        file="fifo.sv",
                        old="assign fetch   = !empty && (!valid_q || ready_i);",
                        new="assign fetch = !empty;",
                        breaks="stands",
                    ),
                ),
            ),
        )
    ),
    Suite(
        name="s_axi_control",
        module="s_axi_control",
        parameters={},
        method="pdr",
        cut=("t:$mem_v2",),
        mutants=(
            Mutant(
                file="s_axi_control.sv",
                old="done_i || (done_q && !read_control)",
                new="done_i || (done_q && !read)",
                breaks="shows_done",
            ),
            Mutant(
                file="s_axi_control.sv",
                old="assign start_o   = start_q && !running_q;",
                new="assign start_o = start_q;",
                breaks="start_once",
            ),
            Mutant(
                file="s_axi_control.sv",
                old="rvalid_o  <= pending_q || (rvalid_o && !rready_i);",
                new="rvalid_o  <= pending_q;",
                breaks="r_stands",
            ),
            Mutant(
                file="s_axi_control.sv",
                old="assign write_now = address_held_q && data_held_q && !bvalid_o;",
                new="assign write_now = address_held_q && !bvalid_o;",
                breaks="b_answers",
            ),
        ),
    ),
    Suite(
        name="read_port",
        module="read_port",
        parameters={"DEPTH": 4, "BURST": 2},
        method="induction",
        clocks=1,
        mutants=(
            Mutant(file="read_port.sv", old="room_q >= COUNT'(length_q)", new="room_q != '0", breaks="rules.room"),
        ),
    ),
    Suite(
        name="read_mux",
        module="read_mux",
        parameters={},
        method="pdr",
        mutants=(
            Mutant(file="read_mux.sv", old="arready_i ? !arid_o : arid_o", new="!arid_o", breaks="stands"),
            Mutant(file="read_mux.sv", old="arready_i ? !arid_o : arid_o", new="arid_o", breaks="fair"),
        ),
    ),
    Suite(
        name="read_runs",
        module="read_runs",
        parameters={"BITS": 3},
        method="pdr",
        mutants=(
            Mutant(
                file="read_runs.sv",
                old="cmd_ready_o = !run_valid_o || (step && last_strip_q && last_group_q)",
                new="cmd_ready_o = !run_valid_o || step",
                breaks="finishes",
            ),
        ),
    ),
    Suite(
        name="upsample",
        module="upsample",
        parameters={"BITS": 2},
        method="pdr",
        mutants=(
            Mutant(
                file="upsample.sv", old="copy_ready_i && x_end && y_end", new="copy_ready_i && x_end", breaks="is_last"
            ),
        ),
    ),
    Suite(
        name="write_send",
        module="write_send",
        parameters={"RATIO": 2, "BURST": 4, "PLANE": 4},
        method="induction",
        clocks=1,
        mutants=(
            Mutant(
                file="write_send.sv",
                old="last_beat[OFFSET-1:0] - length_q",
                new="last_beat[OFFSET-1:0]",
                breaks="rules.one_window",
            ),
            Mutant(
                file="write_send.sv",
                old="assign quiet_o  = open_q == '0;",
                new="assign quiet_o = !awvalid_o;",
                breaks="rules.quiet",
            ),
            Mutant(
                file="write_send.sv",
                old="(!wvalid_o || wready_i)",
                new="1'b1",
                breaks="rules.beat_stands",
            ),
        ),
    ),
    Suite(
        name="cvt's credits",
        module="cvt",
        packages=("descriptor_pkg", "kernel_pkg"),
        parameters={"CREDITS": 4},
        method="pdr",
        mutants=(
            Mutant(file="cvt.sv", old="|| credits != 0)", new="|| 1'b1)", breaks="credits"),
            Mutant(file="cvt.sv", old="since == 2'(PASS_SPACING - 1))", new="since != 2'd0)", breaks="spacing"),
        ),
    ),
    Suite(
        name="schedule",
        module="schedule",
        packages=("descriptor_pkg", "kernel_pkg"),
        parameters={},
        method="bounded",
        clocks=12,
        free=("layer_setup", "strip_setup", "layer_check"),
        search=12,
        mutants=(
            Mutant(file="schedule.sv", old="if (quiet_i) state <= RESET;", new="state <= RESET;", breaks="stop_waits"),
        ),
    ),
)

_SCHEDULE_SLOW = (
    Mutant(file="schedule.sv", old="end else if (!open && !(", new="end else if (!(", breaks="layer_stands"),
    Mutant(file="schedule.sv", old="LAST_LAYER: if (!open) state", new="LAST_LAYER: state", breaks="ends_drained"),
)

LARGER = tuple(
    dataclasses.replace(
        suite,
        name=f"{suite.name}, {'larger' if sizes else 'all clocks'}",
        parameters=dict(suite.parameters) | sizes,
        method=suite.method if sizes else "cones",
        search=max(suite.search, 34),
        mutants=suite.mutants if sizes else (*suite.mutants, *_SCHEDULE_SLOW),
    )
    for suite in SUITES
    for name, sizes in (
        ("read_port", {"DEPTH": 16, "BURST": 8, "SPAN": 32}),
        ("write_send", {"RATIO": 4, "BURST": 16, "PLANE": 8}),
        ("read_runs", {"BITS": 4}),
        ("cvt's credits", {"CREDITS": 16}),
        ("schedule", {}),
    )
    if suite.name == name
)
"""What takes minutes, for scripts/figures/formal.py: larger sizes, and `schedule` for every number of clocks."""
