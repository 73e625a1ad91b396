"""The networks: VRT, the spike encoder, the fusions."""
