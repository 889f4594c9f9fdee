// The local protocol is a header only.
