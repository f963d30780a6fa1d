/// A reply as a client sees it, RESP2 and RESP3.
package indirect enum ReplyValue: Equatable, Sendable {
    case simple(String)
    case error(String)
    case integer(Int64)
    case double(Double)
    case boolean(Bool)
    case bulk([UInt8])
    case null
    case array([ReplyValue])
    case set([ReplyValue])
    case push([ReplyValue])
    /// The map has keys and values in the order in which they came.
    case map([ReplyValue])
    /// The rest of an aggregate, which was not kept as the reply is too large.
    case cut

    /// Returns the text of a scalar; nil for aggregates and null.
    package var text: String? {
        switch self {
        case .simple(let text), .error(let text): text
        case .integer(let value): String(value)
        case .double(let value): Self.shortest(value)
        case .boolean(let value): value ? "true" : "false"
        case .bulk(let bytes): String(decoding: bytes, as: UTF8.self)
        case .null, .array, .set, .push, .map, .cut: nil
        }
    }

    package var elements: [ReplyValue]? {
        switch self {
        case .array(let all), .set(let all), .push(let all), .map(let all): all
        default: nil
        }
    }

    /// Writes a number as Redis does, with no `.0` behind a whole one.
    private static func shortest(_ value: Double) -> String {
        let text = "\(value)"
        return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
    }
}
