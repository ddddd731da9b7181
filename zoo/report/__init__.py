"""Reports: pages of one file that ask nothing of a network, with charts as SVG."""
