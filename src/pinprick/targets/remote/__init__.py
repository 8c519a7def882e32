"""Targets behind HTTP: the Open Inference Protocol, and endpoints that a TOML file describes (`pinprick[http]`)."""
