"""Whether training on packed scenes waits for them, or fills memory with them."""
