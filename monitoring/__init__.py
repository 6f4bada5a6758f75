"""What the service tells about itself: Prometheus series, drift verdicts and the page `/monitor`."""
