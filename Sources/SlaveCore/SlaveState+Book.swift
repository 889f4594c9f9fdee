extension SlaveState {
    /// What is kept, by name: all of it is 0 once nothing is under way.
    public var book: [(name: String, count: Int)] {
        [
            ("launches", launches.count),
            ("ranks", livingRankCount),
            ("open slots", launches.values.count { $0.isStorageOpen }),
        ]
    }
}
