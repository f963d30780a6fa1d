/// Stands between the fields of a line.
enum Separator: UInt8, CaseIterable {
    case comma = 0x2c
    case tab = 0x09
    /// Read by nobody, and written by spreadsheets where the comma stands in numbers.
    case semicolon = 0x3b

    var name: String {
        switch self {
        case .comma: "commas"
        case .tab: "tabs"
        case .semicolon: "semicolons"
        }
    }
}
