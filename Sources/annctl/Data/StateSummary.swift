import AnnexCore
import AnnexStore

/// Says in words what a state holds.
enum StateSummary {
    static func line(_ found: StateInspection) -> String {
        "\(found.events) events of \(found.users) users, \(found.tombstones) items taken out, "
            + "\(found.forgotten) users forgotten, \(found.damagedRecords) damaged records, \(found.fileBytes) bytes"
    }

    /// Positions by block.
    static func positions(_ found: StateInspection) -> String {
        let known = found.marks.enumerated().filter { $0.element != .start }.map { block, mark in
            "\(block < 10 ? "0" : "")\(block):\(mark.position)"
        }
        let marks = known.isEmpty ? "from its first entry on" : known.joined(separator: " ")
        let log = found.log.id.map { "id \($0), " } ?? ""
        return log + (found.log.slots.map { "slots \($0), " } ?? "") + marks
    }
}
