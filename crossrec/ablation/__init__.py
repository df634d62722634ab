"""Studies over many trained runs: what is given up for what is gained."""
