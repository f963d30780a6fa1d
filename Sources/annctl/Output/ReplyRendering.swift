import AnnexCore
import AnnexWire
import Foundation

/// A reply as a table, as JSON or as tab-separated values.
enum ReplyRendering {
    /// Lists commands whose RESP3 reply is a list of items, perhaps with what these words ask for, in this order.
    private static let itemLists: [String: [(word: String, heading: String)]] = [
        "TOPK": [("WITHSCORES", "score"), ("WITHATTRIBS", "attributes")],
        "VSIM": [("WITHSCORES", "score"), ("WITHATTRIBS", "attributes")], "SEEN": [("WITHTIMES", "unix ms")],
    ]

    static func table(_ command: [String], _ reply: ReplyValue) -> String {
        let name = command.first?.uppercased() ?? ""
        let words = Set(command.dropFirst().map { $0.uppercased() })
        if let columns = Self.itemLists[name], let table = Self.items(columns, words, reply) { return table.render() }
        if name == "EXPLAIN", let tables = Self.explanation(reply) {
            return tables.facts.render() + "\n\n" + tables.parts.render()
        }
        switch reply {
        case .map(let pairs): return Self.pairs(pairs).render()
        case .array(let all), .set(let all), .push(let all):
            if all.isEmpty { return "(empty)" }
            var table = TextTable(headings: ["#", "value"], rightAligned: [0])
            for (index, value) in all.enumerated() { table.rows.append(["\(index + 1)", Self.cell(value)]) }
            return table.render()
        case .null: return "(none)"
        case .bulk(let bytes):
            // INFO and the like come as lines of their own.
            return String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
                .map { Printable.escape($0.hasSuffix("\r") ? String($0.dropLast()) : String($0), limit: 4096) }
                .joined(separator: "\n")
        default: return Self.cell(reply)
        }
    }

    static func tsv(_ command: [String], _ reply: ReplyValue) -> String {
        let name = command.first?.uppercased() ?? ""
        let words = Set(command.dropFirst().map { $0.uppercased() })
        if name == "EXPLAIN", let tables = Self.explanation(reply) {
            return tables.parts.rows.map { $0.joined(separator: "\t") }.joined(separator: "\n")
        }
        if let columns = Self.itemLists[name], let table = Self.items(columns, words, reply) {
            return table.rows.map { $0.dropFirst().joined(separator: "\t") }.joined(separator: "\n")
        }
        switch reply {
        case .map(let pairs): return Self.pairs(pairs).renderTSV()
        case .array(let all), .set(let all), .push(let all): return all.map(Self.cell).joined(separator: "\n")
        default: return Self.cell(reply)
        }
    }

    static func json(_ reply: ReplyValue) throws -> String {
        let data = try JSONSerialization.data(
            withJSONObject: Self.jsonObject(reply),
            options: [.fragmentsAllowed, .sortedKeys, .withoutEscapingSlashes]
        )
        return String(decoding: data, as: UTF8.self)
    }

    /// Makes columns of rank, item, then what was asked for.
    private static func items(
        _ columns: [(word: String, heading: String)],
        _ words: Set<String>,
        _ reply: ReplyValue
    ) -> TextTable? {
        var table = TextTable(headings: ["#", "item"], rightAligned: [0])
        for column in columns where words.contains(column.word) {
            table.headings.append(column.heading)
            if column.word != "WITHATTRIBS" { table.rightAligned.insert(table.headings.count - 1) }
        }
        switch reply {
        case .map(let pairs):
            for index in stride(from: 0, to: pairs.count - 1, by: 2) {
                let rest = pairs[index + 1].elements ?? [pairs[index + 1]]
                table.rows.append(["\(index / 2 + 1)", Self.cell(pairs[index])] + rest.map(Self.cell))
            }
        case .array(let all):
            for (index, value) in all.enumerated() {
                table.rows.append(["\(index + 1)"] + (value.elements ?? [value]).map(Self.cell))
            }
        default: return nil
        }
        return table.rows.isEmpty ? nil : table
    }

    /// Returns what EXPLAIN says of the score, and its parts.
    private static func explanation(_ reply: ReplyValue) -> (facts: TextTable, parts: TextTable)? {
        guard case .map(let pairs) = reply else { return nil }
        var facts: [ReplyValue] = []
        var parts = TextTable(headings: ["item", "weight", "contribution"], rightAligned: [1, 2])
        for index in stride(from: 0, to: pairs.count - 1, by: 2) {
            if pairs[index].text == "contributions" {
                parts.rows = (pairs[index + 1].elements ?? []).map { ($0.elements ?? []).map(Self.cell) }
            } else {
                facts += pairs[index...index + 1]
            }
        }
        return (Self.pairs(facts), parts)
    }

    private static func pairs(_ pairs: [ReplyValue]) -> TextTable {
        var table = TextTable(headings: ["field", "value"])
        for index in stride(from: 0, to: pairs.count - 1, by: 2) {
            table.rows.append([Self.cell(pairs[index]), Self.cell(pairs[index + 1])])
        }
        return table
    }

    private static func cell(_ value: ReplyValue) -> String {
        if let text = value.text { return Printable.escape(text, limit: 4096) }
        guard let elements = value.elements else { return "(none)" }
        return "[" + elements.map(Self.cell).joined(separator: ", ") + "]"
    }

    private static func jsonObject(_ value: ReplyValue) -> Any {
        switch value {
        case .simple(let text), .error(let text): return text
        case .integer(let number): return number
        case .double(let number): return number.isFinite ? number : "\(number)"
        case .boolean(let flag): return flag
        case .bulk(let bytes): return String(decoding: bytes, as: UTF8.self)
        case .null, .cut: return NSNull()
        case .array(let all), .set(let all), .push(let all): return all.map(Self.jsonObject)
        case .map(let pairs):
            var object: [String: Any] = [:]
            for index in stride(from: 0, to: pairs.count - 1, by: 2) {
                object[pairs[index].text ?? "\(index / 2)"] = Self.jsonObject(pairs[index + 1])
            }
            return object
        }
    }
}
