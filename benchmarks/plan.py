"""How much is measured: enough for figures, or just enough to see that everything works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Sizes of crowds and lengths of measurements; times are in seconds."""

    crowds: tuple[int, ...]
    """Growers at once."""
    rounds: int
    """How often flows and bare pages take turns."""
    warm_up: float
    flow_seconds: float
    bare_seconds: float
    counted_flows: int
    counted_hand_overs: int
    idle_seconds: float
    """How long an idle worker's commits are counted, to subtract them."""
    hand_overs: int
    slow_crowds: tuple[int, ...]
    slow_seconds: float
    token_seconds: float
    leaf_seconds: float
    growers_per_turn: int
    """Invited in advance: more than could get through."""


FULL = Plan(
    crowds=(1, 8, 32),
    rounds=3,
    warm_up=1,
    flow_seconds=6,
    bare_seconds=3,
    counted_flows=20,
    counted_hand_overs=50,
    idle_seconds=15,
    hand_overs=1000,
    slow_crowds=(1, 8, 16, 32, 48, 64, 96, 128),
    slow_seconds=6,
    token_seconds=3,
    leaf_seconds=30,
    growers_per_turn=300,
)
QUICK = Plan(
    crowds=(1, 4),
    rounds=1,
    warm_up=0.2,
    flow_seconds=4,
    bare_seconds=2,
    counted_flows=2,
    counted_hand_overs=5,
    idle_seconds=0.5,
    hand_overs=20,
    slow_crowds=(1, 4),
    slow_seconds=4,
    token_seconds=0.2,
    leaf_seconds=1,
    growers_per_turn=150,
)
