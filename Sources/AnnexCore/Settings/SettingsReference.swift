/// Shows a table of settings as a page for people.
extension Setting {
    /// Returns the values that are accepted, in words.
    package var form: String {
        switch self.value {
        case .whole(let range, _, _), .seconds(let range, _, _):
            "\(range.lowerBound) to \(range.upperBound)"
        case .number(let form, _, _, _), .text(let form, _, _, _): form
        }
    }

    /// Stands for the value in a line of help.
    package var placeholder: String {
        switch self.value {
        case .whole, .seconds, .number: self.unit.isEmpty ? "number" : self.unit
        case .text(let form, let isPath, _, _): isPath ? "path" : form.split(separator: " or ").joined(separator: "|")
        }
    }

    /// Returns the default as people say it; nil where nothing is set.
    package func defaultText(_ fresh: Settings) -> String? { self.automatic ?? self.text(of: fresh) }

    /// Writes rows of a table, a setting each. Those that nobody can say or see are left out.
    package static func markdown(_ settings: [Self], fresh: Settings) -> String {
        var out = "| setting | said by | values | default | meaning |\n|---|---|---|---|---|\n"
        for setting in settings {
            let ways = setting.ways
            guard !ways.isEmpty else { continue }
            let values = setting.form + (setting.unit.isEmpty ? "" : " " + setting.unit)
            let byDefault = setting.defaultText(fresh).map { setting.automatic == nil ? "`\($0)`" : $0 } ?? ""
            let cells = [
                "`\(setting.name)`", ways.joined(separator: ", "), values, byDefault, setting.help,
            ]
            out +=
                "| " + cells.map { $0.split(separator: "|").joined(separator: "\\|") }.joined(separator: " | ") + " |\n"
        }
        return out
    }

    private var ways: [String] {
        var ways: [String] = []
        if self.sources.contains(.flag) { ways.append("`--\(self.name)`") }
        if self.sources.contains(.file) { ways.append("`\(self.name):`") }
        if let parameter {
            ways.append("`CONFIG \(self.sources.contains(.configSet) ? "GET/SET" : "GET") \(parameter)`")
        }
        return ways
    }
}
