/// Text in columns of a fixed width; what is wider keeps its width.
public enum Column {
    public static func left(_ text: String, _ width: Int) -> String {
        text + blanks(width - text.count)
    }

    public static func right(_ text: String, _ width: Int) -> String {
        blanks(width - text.count) + text
    }

    private static func blanks(_ count: Int) -> String {
        String(repeating: " ", count: max(0, count))
    }
}
