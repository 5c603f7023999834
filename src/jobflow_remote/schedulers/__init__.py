"""Schedulers: pairs of pure functions, text in and text out. One port (:mod:`.port`), an adapter each."""
