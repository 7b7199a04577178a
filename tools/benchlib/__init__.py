"""The parts of tools/bench; the essay is there."""
