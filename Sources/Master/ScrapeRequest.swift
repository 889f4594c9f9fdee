/// What a monitoring system asks for over HTTP/1.x: one GET of /metrics, and no more on this
/// connection.
package enum ScrapeRequest: Equatable, Sendable {
    /// Its head has not ended yet.
    case incomplete
    case metrics
    /// With an HTTP status.
    case refused(Int)

    /// A longer head is refused.
    package static let byteLimit = 8192

    package init(_ bytes: [UInt8]) {
        let isWhole = Self.hasEnded(bytes)
        guard isWhole || bytes.count < Self.byteLimit else {
            self = .refused(431)
            return
        }
        guard isWhole else {
            self = .incomplete
            return
        }
        let line = bytes.prefix { $0 != UInt8(ascii: "\r") && $0 != UInt8(ascii: "\n") }
        let words = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        guard words.count == 3, words[2].starts(with: Array("HTTP/1.".utf8)) else {
            self = .refused(400)
            return
        }
        let path = words[1].prefix { $0 != UInt8(ascii: "?") }
        if !path.elementsEqual("/metrics".utf8) {
            self = .refused(404)
        } else if !words[0].elementsEqual("GET".utf8) {
            self = .refused(405)
        } else {
            self = .metrics
        }
    }

    /// An empty line ends the head.
    private static func hasEnded(_ bytes: [UInt8]) -> Bool {
        var isLineEmpty = false
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "\n"):
                if isLineEmpty { return true }
                isLineEmpty = true
            case UInt8(ascii: "\r"): break
            default: isLineEmpty = false
            }
        }
        return false
    }

    /// - Parameter metrics: the text that `metrics` asks for.
    package func answer(_ metrics: @autoclosure () -> String) -> [UInt8] {
        let head: String
        let body: String
        switch self {
        case .metrics:
            head = "200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8"
            body = metrics()
        case .refused(let status):
            head =
                "\(status) \(Self.reason(status))\r\nContent-Type: text/plain"
                + (status == 405 ? "\r\nAllow: GET" : "")
            body = status == 404 ? "the metrics are at /metrics\n" : ""
        case .incomplete: return []
        }
        return Array(
            """
            HTTP/1.1 \(head)\r
            Content-Length: \(body.utf8.count)\r
            Connection: close\r
            \r
            \(body)
            """.utf8)
    }

    private static func reason(_ status: Int) -> String {
        switch status {
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 431: "Request Header Fields Too Large"
        default: "Bad Request"
        }
    }
}
