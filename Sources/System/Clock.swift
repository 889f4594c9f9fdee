import CSystem
import Glibc

public enum Clock {
    /// The time of day, in whole seconds.
    public static var secondsSince1970: Int { time(nil) }

    /// CLOCK_MONOTONIC in nanoseconds.
    public static var monotonicNanoseconds: UInt64 { bp_monotonic_nanoseconds() }
}
