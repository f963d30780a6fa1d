import AnnexCore

/// Answers `CONFIG GET` and `CONFIG SET` from the table of settings.
enum ServerParameters {
    enum Change: Equatable { case changed, fixed, unknown, invalid(String) }

    /// Benchmark tools ask for these parameters: nothing is written by this server, and there is one database.
    private static let constants = [("save", ""), ("appendonly", "no"), ("databases", "1")]

    /// Returns all names with their values, by name in byte order.
    static func all(_ configuration: ServerConfiguration) -> [(String, String)] {
        let settings = ServerSettings.all.compactMap { setting in
            setting.parameter.map { ($0, setting.text(of: configuration) ?? "") }
        }
        return (settings + Self.constants).sorted { $0.0 < $1.0 }
    }

    /// Applies one `CONFIG SET name value`. Names in lower case.
    static func set(_ name: String, to text: String, in configuration: inout ServerConfiguration) -> Change {
        guard let setting = ServerSettings.all.first(where: { $0.parameter == name }) else {
            return Self.constants.contains { $0.0 == name } ? .fixed : .unknown
        }
        guard setting.sources.contains(.configSet) else { return .fixed }
        do throws(AnnexError) { try setting.set(text, in: &configuration, label: name) } catch {
            guard let bounds = setting.bounds else { return .invalid(error.message) }
            return .invalid("argument must be between \(bounds.lowerBound) and \(bounds.upperBound) inclusive")
        }
        return .changed
    }
}
