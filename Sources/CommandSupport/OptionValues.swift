public import ArgumentParser
public import BProc

/// The value of --compression.
extension ImageCompression: ExpressibleByArgument {}

extension ProcessTable.Order: ExpressibleByArgument {}
