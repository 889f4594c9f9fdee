/// Why a configuration cannot be taken over while the master runs.
public struct ReloadError: Error, Sendable {
    public let sentence: String

    public init(sentence: String) { self.sentence = sentence }
}
