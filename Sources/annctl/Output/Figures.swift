import Foundation

/// Numbers for people.
enum Figures {
    /// Without a fraction where there is none.
    static func short(_ value: Double) -> String { value == value.rounded() ? "\(Int(value))" : "\(value)" }

    static func fixed(_ value: Double, _ places: Int) -> String { String(format: "%.\(places)f", value) }
    static func percent(_ share: Double) -> String { Self.fixed(share * 100, 1) + " %" }

    static func bytes(_ count: Int) -> String {
        var value = Double(count)
        for unit in ["B", "KiB", "MiB", "GiB"] {
            if value < 1024 || unit == "GiB" { return unit == "B" ? "\(count) B" : Self.fixed(value, 1) + " " + unit }
            value /= 1024
        }
        return "\(count) B"
    }
}
