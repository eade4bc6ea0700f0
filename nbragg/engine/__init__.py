"""From a Scene to photons: the renderers on CPU and GPU."""
